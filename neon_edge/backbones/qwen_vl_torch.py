"""Qwen2.5-VL in transformers' words."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import nn
from transformers.models.qwen2_5_vl import configuration_qwen2_5_vl as configuration
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as modeling

from neon_edge.backbones.qwen_network import MarkedNetwork, eager, text_words, windowed_words
from neon_edge.backbones.qwen_vl import QwenVLConfig
from neon_edge.backbones.qwen_windows import WindowedVision
from neon_edge.engine.manifest import ImageGeometry


class VLNetwork(MarkedNetwork):
    """`Qwen2_5_VLModel`. The published files keep the names of its first release."""

    published_prefixes: ClassVar = {"visual.": "visual.", "language_model.": "model."}

    def __init__(self, config: QwenVLConfig) -> None:
        self.config = config

    def make(self) -> Any:
        """The model without its LM head."""
        return modeling.Qwen2_5_VLModel(vl_config(self.config))

    def restore(self, model: Any) -> None:
        """Rotary frequencies of tower and decoder."""
        settings = model.config
        model.visual.rotary_pos_emb = modeling.Qwen2_5_VLVisionRotaryEmbedding(
            settings.vision_config
        )
        model.language_model.rotary_emb = modeling.Qwen2_5_VLRotaryEmbedding(settings.text_config)

    def vision(self, tower: Any, image: ImageGeometry) -> nn.Module:
        """Windows as a batch."""
        return WindowedVision(tower, image)


def vl_config(config: QwenVLConfig) -> Any:
    """The configuration in transformers' words."""
    tokens = config.tokens
    return eager(
        configuration.Qwen2_5_VLConfig(
            vision_config=windowed_words(config.vision, config.text.hidden_size)
            | {"tokens_per_second": config.tokens_per_second},
            text_config=text_words(config.text),
            image_token_id=tokens.image,
            video_token_id=tokens.video,
            vision_start_token_id=tokens.vision_start,
            vision_end_token_id=tokens.vision_end,
        )
    )
