"""Qwen2.5-Omni's thinker in transformers' words."""

from __future__ import annotations

from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from transformers.models.qwen2_5_omni import configuration_qwen2_5_omni as configuration
from transformers.models.qwen2_5_omni import modeling_qwen2_5_omni as modeling

from neon_edge.backbones.qwen_network import Network, eager, text_words, windowed_words
from neon_edge.backbones.qwen_omni import QwenOmniConfig
from neon_edge.backbones.qwen_windows import WindowedVision
from neon_edge.engine.manifest import ImageGeometry


class OmniNetwork(Network):
    """`Qwen2_5OmniThinkerModel` without its audio tower."""

    published_prefixes: ClassVar = {
        "visual.": "thinker.visual.",
        "language_model.": "thinker.model.",
    }

    def __init__(self, config: QwenOmniConfig) -> None:
        self.config = config

    def make(self) -> Any:
        """The thinker."""
        model = modeling.Qwen2_5OmniThinkerModel(thinker_config(self.config))
        model.audio_tower = nn.Identity()
        return model

    def restore(self, model: Any) -> None:
        """Rotary frequencies of tower and decoder."""
        settings = model.config
        model.visual.rotary_pos_emb = modeling.Qwen2_5OmniVisionRotaryEmbedding(
            settings.vision_config
        )
        model.language_model.rotary_emb = modeling.Qwen2_5OmniRotaryEmbedding(settings.text_config)

    def vision(self, tower: Any, image: ImageGeometry) -> nn.Module:
        """Windows as a batch."""
        return WindowedVision(tower, image)

    def positions(self, model: Any, ids: Tensor, grid: Tensor) -> Tensor:
        """As `get_rope_index` counts them."""
        positions, _ = model.get_rope_index(ids, grid, attention_mask=torch.ones_like(ids))
        return cast("Tensor", positions)


def thinker_config(config: QwenOmniConfig) -> Any:
    """The configuration in transformers' words. The audio tower, never used, is one layer."""
    tokens = config.tokens
    return eager(
        configuration.Qwen2_5OmniThinkerConfig(
            vision_config=windowed_words(config.vision, config.text.hidden_size),
            text_config=text_words(config.text),
            audio_config={"encoder_layers": 1, "d_model": 64, "encoder_attention_heads": 1},
            image_token_index=tokens.image,
            video_token_index=tokens.video,
            audio_token_index=tokens.audio,
            vision_start_token_id=tokens.vision_bos,
            audio_start_token_id=tokens.audio_bos,
            audio_end_token_id=tokens.audio_eos,
            position_id_per_seconds=config.position_id_per_seconds,
        )
    )
