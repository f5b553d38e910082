"""Qwen2.5-Omni's graphs: thin modules around transformers' own layers, geometry folded in.

Positions, windows, rotary tables and the causal mask are constants, so what is left is a dozen
kinds of plain operation. Two things are written here rather than traced from transformers, both
because the original asks tensors for their values while it runs: the tower's loop over windows
(one batched attention here) and the scatter of pictures into text (a concatenation here).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers.models.qwen2_5_omni import configuration_qwen2_5_omni as configuration
from transformers.models.qwen2_5_omni import modeling_qwen2_5_omni as modeling
from transformers.vision_utils import get_vision_position_ids, get_vision_window_index

from neon_edge.backbones.contract import Tap, TensorSource
from neon_edge.backbones.qwen_omni import QwenOmniConfig
from neon_edge.engine.manifest import ImageGeometry, Prompt

_PUBLISHED = {"visual.": "thinker.visual.", "language_model.": "thinker.model."}


def thinker_config(config: QwenOmniConfig) -> Any:
    """The configuration in transformers' words. The audio tower, never used, is one layer."""
    vision, text, tokens = config.vision, config.text, config.tokens
    thinker = configuration.Qwen2_5OmniThinkerConfig(
        vision_config={
            "depth": vision.depth,
            "hidden_size": vision.hidden_size,
            "num_heads": vision.num_heads,
            "intermediate_size": vision.intermediate_size,
            "patch_size": vision.patch_size,
            "temporal_patch_size": vision.temporal_patch_size,
            "spatial_merge_size": vision.spatial_merge_size,
            "window_size": vision.window_size,
            "fullatt_block_indexes": vision.full_attention,
            "out_hidden_size": text.hidden_size,
        },
        text_config={
            "hidden_size": text.hidden_size,
            "num_hidden_layers": text.num_layers,
            "num_attention_heads": text.num_heads,
            "num_key_value_heads": text.num_kv_heads,
            "intermediate_size": text.intermediate_size,
            "vocab_size": text.vocab_size,
            "rms_norm_eps": text.rms_norm_eps,
            "max_position_embeddings": text.max_positions,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": text.rope_theta,
                "mrope_section": list(text.mrope_section),
            },
        },
        audio_config={"encoder_layers": 1, "d_model": 64, "encoder_attention_heads": 1},
        image_token_index=tokens.image,
        video_token_index=tokens.video,
        audio_token_index=tokens.audio,
        vision_start_token_id=tokens.vision_bos,
        audio_start_token_id=tokens.audio_bos,
        audio_end_token_id=tokens.audio_eos,
        position_id_per_seconds=config.position_id_per_seconds,
    )
    for part in (thinker, thinker.text_config, thinker.vision_config):
        part._attn_implementation = "eager"
    return thinker


def empty_thinker(config: QwenOmniConfig) -> Any:
    """`Qwen2_5OmniThinkerModel` without memory: every tensor on the meta device."""
    with torch.device("meta"):
        model = modeling.Qwen2_5OmniThinkerModel(thinker_config(config))
    model.audio_tower = nn.Identity()
    return model.eval().requires_grad_(False)


def published_shapes(config: QwenOmniConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor of the path under its published name."""
    state = empty_thinker(config).state_dict()
    return {published(name): tuple(tensor.shape) for name, tensor in state.items()}


def published(name: str) -> str:
    """A name of `Qwen2_5OmniThinkerModel` as the checkpoint files spell it."""
    for ours, theirs in _PUBLISHED.items():
        if name.startswith(ours):
            return theirs + name[len(ours) :]
    raise KeyError(name)


def filled(module: Any, prefix: str, source: TensorSource) -> Any:
    """Give a meta module its weights in place; `prefix` is its name in the thinker."""
    state = {name: source.tensor(published(prefix + name)) for name in module.state_dict()}
    module.load_state_dict(state, assign=True)
    return module.requires_grad_(False)


class VisionPart(nn.Module):
    """patches (P, patch_width) → image_embeds (1, P / merge², width)."""

    def __init__(self, tower: Any, config: QwenOmniConfig, image: ImageGeometry) -> None:
        super().__init__()
        vision = tower.config
        self._unit = image.merge * image.merge
        self._full = set(config.vision.full_attention)
        self._pictures = image.count
        # A window in patches; every window of every picture is whole (the adaptor sees to it).
        side = config.vision.window_size // image.patch
        self._windows = image.count * image.patches // (side * side)
        kernel = tower.patch_embed.proj.weight
        # Stride equals kernel: the convolution is one matrix product over flat patches.
        self.patch_kernel = nn.Parameter(kernel.reshape(len(kernel), -1), requires_grad=False)
        self.blocks = tower.blocks
        self.merger = tower.merger
        grid = torch.tensor([[1, *image.grid]] * image.count)
        order, _ = get_vision_window_index(
            grid, image.merge, config.vision.window_size, image.patch
        )
        rotary = modeling.Qwen2_5OmniVisionRotaryEmbedding(vision)
        positions = get_vision_position_ids(grid, image.merge)
        cos, sin = (self._ordered(table, order) for table in rotary(kernel, positions))
        self.order: Tensor
        self.back: Tensor
        self.cos: Tensor
        self.sin: Tensor
        self.register_buffer("order", order)
        self.register_buffer("back", torch.argsort(order))
        self.register_buffer("cos", cos)
        self.register_buffer("sin", sin)

    def forward(self, patches: Tensor) -> Tensor:
        """Embed, attend within windows or pictures, merge, and put back in raster order."""
        hidden = nn.functional.linear(patches, self.patch_kernel)
        hidden = self._ordered(hidden, self.order)
        for index, block in enumerate(self.blocks):
            segments = self._pictures if index in self._full else self._windows
            hidden = hidden + self._attend(block.attn, block.norm1(hidden), segments)
            hidden = hidden + block.mlp(block.norm2(hidden))
        return cast("Tensor", self.merger(hidden)).index_select(0, self.back).unsqueeze(0)

    def _attend(self, attention: Any, hidden: Tensor, segments: int) -> Tensor:
        split = (len(hidden), attention.num_heads, attention.head_dim)
        query = attention.q(hidden).reshape(split)
        key = attention.k(hidden).reshape(split)
        query, key = modeling.apply_rotary_pos_emb_vision(query, key, self.cos, self.sin)
        batch = (segments, -1, attention.num_heads, attention.head_dim)
        query, key, value = (
            states.reshape(batch).transpose(1, 2) for states in (query, key, attention.v(hidden))
        )
        mixed, _ = modeling.eager_attention_forward(
            attention, query, key, value, None, scaling=attention.scaling
        )
        return cast("Tensor", attention.proj(mixed.reshape(len(hidden), -1)))

    def _ordered(self, rows: Tensor, order: Tensor) -> Tensor:
        width = rows.shape[-1]
        return rows.reshape(-1, self._unit, width).index_select(0, order).reshape(-1, width)


def vision_part(config: QwenOmniConfig, image: ImageGeometry, source: TensorSource) -> nn.Module:
    """The vision tower with its weights."""
    tower = filled(empty_thinker(config).visual, "visual.", source)
    return VisionPart(tower, config, image).eval()


@dataclass(frozen=True)
class DecoderGeometry:
    """What every run of decoder layers has in common."""

    config: QwenOmniConfig
    image: ImageGeometry
    prompt: Prompt
    tap: Tap

    def token_ids(self) -> list[int]:
        """The whole sequence, its padding taken for text that stands behind everything else."""
        prompt = self.prompt
        picture = [self.config.tokens.image] * self.image.picture_tokens
        ids = list(prompt.before) + picture
        for _ in range(self.image.count - 1):
            ids += prompt.separator + picture
        ids += prompt.between
        total = prompt.text_tokens + self.image.count * self.image.picture_tokens
        return ids + [prompt.pad_id] * (total - len(ids))

    def constants(self, thinker: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Rotary cos and sin (1, T, head) and the additive causal mask (1, 1, T, T)."""
        ids = torch.tensor([self.token_ids()])
        grid = torch.tensor([[1, *self.image.grid]] * self.image.count)
        positions, _ = thinker.get_rope_index(ids, grid, attention_mask=torch.ones_like(ids))
        rotary = modeling.Qwen2_5OmniRotaryEmbedding(thinker.config.text_config)
        cos, sin = rotary(torch.zeros(1), positions)
        count = ids.shape[1]
        # Half of the lowest number: far below any score, and no infinity when it is added to one.
        never = torch.finfo(torch.float32).min / 2
        mask = torch.full((count, count), never).triu(1)
        return cos, sin, mask[None, None]


class DecoderPart(nn.Module):
    """Layers `first` up to `last` of the decoder, with the merge ahead or the pool behind."""

    def __init__(
        self, geometry: DecoderGeometry, thinker: Any, layers: list[Any], norm: Any, begins: bool
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.norm = norm
        self._begins = begins
        self._pools = norm is not None
        self._before = len(geometry.prompt.before)
        self._between = len(geometry.prompt.separator)
        self._pictures = geometry.image.count
        self.cos: Tensor
        self.sin: Tensor
        self.mask: Tensor
        cos, sin, mask = geometry.constants(thinker)
        self.register_buffer("cos", cos)
        self.register_buffer("sin", sin)
        self.register_buffer("mask", mask)

    def forward(self, *tensors: Tensor) -> Tensor:
        """(image_embeds, text_embeds) or hidden, and pool_weights where it ends."""
        hidden = self._merge(tensors[0], tensors[1]) if self._begins else tensors[0]
        for layer in self.layers:
            hidden = layer(
                hidden, attention_mask=self.mask, position_embeddings=(self.cos, self.sin)
            )
        if not self._pools:
            return hidden
        return torch.matmul(tensors[-1].unsqueeze(1), self.norm(hidden)).squeeze(1)

    def _merge(self, pictures: Tensor, text: Tensor) -> Tensor:
        each = pictures.shape[1] // self._pictures
        pieces, place = [text[:, : self._before]], self._before
        for index in range(self._pictures):
            pieces.append(pictures[:, index * each : (index + 1) * each])
            behind = self._between if index + 1 < self._pictures else text.shape[1] - place
            pieces.append(text[:, place : place + behind])
            place += behind
        return torch.cat(pieces, dim=1)


def decoder_part(
    geometry: DecoderGeometry, run: tuple[int, int], source: TensorSource
) -> nn.Module:
    """Layers `run[0]` up to, not including, `run[1]`, with their weights."""
    thinker = empty_thinker(geometry.config)
    model = thinker.language_model
    first, last = run
    layers = [
        filled(model.layers[index], f"language_model.layers.{index}.", source)
        for index in range(first, last)
    ]
    norm = None
    if last == geometry.config.text.num_layers:
        post = geometry.tap == "post_norm"
        norm = filled(model.norm, "language_model.norm.", source) if post else nn.Identity()
    return DecoderPart(geometry, thinker, layers, norm, begins=first == 0).eval()
