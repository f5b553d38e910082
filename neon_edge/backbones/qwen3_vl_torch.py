"""Qwen3-VL in transformers' words, and its tower as one graph with several outputs."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers.models.qwen3_vl import configuration_qwen3_vl as configuration
from transformers.models.qwen3_vl import modeling_qwen3_vl as modeling
from transformers.vision_utils import (
    get_vision_interpolation_indices_and_weights,
    get_vision_position_ids,
)

from neon_edge.backbones.qwen3_vl import Qwen3VLConfig
from neon_edge.backbones.qwen_network import MarkedNetwork, eager, text_words, vision_words
from neon_edge.backbones.qwen_windows import attended
from neon_edge.engine.manifest import ImageGeometry


class StackedTower(nn.Module):
    """patches (P, patch_width) → image_embeds and deepstack_i, each (1, P / merge², width).

    The learned positions, resampled to the fixed grid, are one constant table.
    """

    def __init__(self, tower: Any, image: ImageGeometry) -> None:
        super().__init__()
        self._steps = image.steps
        self._taps = list(tower.deepstack_visual_indexes)
        kernel = tower.patch_embed.proj.weight
        # Stride equals kernel: the convolution is one matrix product over flat patches.
        self.patch_kernel = nn.Parameter(kernel.reshape(len(kernel), -1), requires_grad=False)
        self.blocks = tower.blocks
        self.merger = tower.merger
        self.stacked = tower.deepstack_merger_list
        grid = torch.tensor([[1, *image.grid]] * image.steps)
        indices, weights = get_vision_interpolation_indices_and_weights(
            grid,
            num_grid_per_side=tower.num_grid_per_side,
            mode=tower.interpolation_mode,
            align_corners=tower.interpolation_align_corners,
            spatial_merge_size=image.merge,
        )
        places = (tower.pos_embed(indices) * weights[:, :, None]).sum(1)
        rotary = type(tower.rotary_pos_emb)(tower.config)
        cos, sin = rotary(kernel, get_vision_position_ids(grid, image.merge))
        self.places: Tensor
        self.cos: Tensor
        self.sin: Tensor
        # The bias of the patch embedding rides along.
        self.register_buffer("places", places + tower.patch_embed.proj.bias)
        self.register_buffer("cos", cos)
        self.register_buffer("sin", sin)

    def forward(self, patches: Tensor) -> tuple[Tensor, ...]:
        """Embed, attend within each picture, merge behind the last layer and the tapped ones."""
        hidden = nn.functional.linear(patches, self.patch_kernel) + self.places
        stacked = []
        for index, block in enumerate(self.blocks):
            normed = block.norm1(hidden)
            hidden = hidden + attended(block.attn, normed, self.cos, self.sin, self._steps)
            hidden = hidden + block.mlp(block.norm2(hidden))
            if index in self._taps:
                merger = self.stacked[self._taps.index(index)]
                stacked.append(merger(hidden).unsqueeze(0))
        return self.merger(hidden).unsqueeze(0), *stacked


class Qwen3Network(MarkedNetwork):
    """`Qwen3VLModel`."""

    published_prefixes: ClassVar = {
        "visual.": "model.visual.",
        "language_model.": "model.language_model.",
    }

    def __init__(self, config: Qwen3VLConfig) -> None:
        self.config = config

    def make(self) -> Any:
        """The model without its LM head."""
        return modeling.Qwen3VLModel(qwen3_config(self.config))

    def restore(self, model: Any) -> None:
        """Rotary frequencies of tower and decoder."""
        settings = model.config
        model.visual.rotary_pos_emb = modeling.Qwen3VLVisionRotaryEmbedding(settings.vision_config)
        model.language_model.rotary_emb = modeling.Qwen3VLTextRotaryEmbedding(settings.text_config)

    def times(self, seconds: Tensor) -> dict[str, Tensor]:
        """The prompt says them."""
        return {}

    def vision(self, tower: Any, image: ImageGeometry) -> nn.Module:
        """One output a merger."""
        return StackedTower(tower, image)


def qwen3_config(config: Qwen3VLConfig) -> Any:
    """The configuration in transformers' words."""
    vision, text, tokens = config.vision, config.text, config.tokens
    return eager(
        configuration.Qwen3VLConfig(
            vision_config=vision_words(vision, text.hidden_size)
            | {
                "num_position_embeddings": vision.position_side**2,
                "deepstack_visual_indexes": vision.deepstack,
            },
            text_config=text_words(text) | {"head_dim": text.head_size},
            image_token_id=tokens.image,
            video_token_id=tokens.video,
            vision_start_token_id=tokens.vision_start,
            vision_end_token_id=tokens.vision_end,
        )
    )
