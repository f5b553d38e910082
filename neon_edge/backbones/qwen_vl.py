"""Qwen2.5-VL: the vision tower and text decoder, cut at the pooled last hidden state.

Configuration: transformers `models/qwen2_5_vl/configuration_qwen2_5_vl.py`; chat template: the
`chat_template.json` published with the model, which adds its system message to a lone user's one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from neon_edge.backbones.contract import Template
from neon_edge.backbones.qwen import QwenFamily
from neon_edge.backbones.qwen_config import Text, VisualTokens, WindowedVision
from neon_edge.backbones.qwen_video import filmed

if TYPE_CHECKING:
    from neon_edge.backbones.qwen_network import Network


class QwenVLConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`[config]` of a recipe of this family."""

    vision: WindowedVision
    text: Text
    tokens: VisualTokens
    tokens_per_second: int = 2
    """Positions in time from one second of a video to the next."""


class QwenVL(QwenFamily):
    """The family's `Adaptor`."""

    config: QwenVLConfig
    config_type = QwenVLConfig
    embedding = "model.embed_tokens.weight"
    prefixes = ("visual.", "model.")
    _PICTURED = Template(
        before=(
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
            "<|im_start|>user\n<|vision_start|>"
        ),
        separator="<|vision_end|><|vision_start|>",
        between="<|vision_end|>",
        after="<|im_end|>\n<|im_start|>assistant\n",
        picture="<|image_pad|>",
    )

    @property
    def template(self) -> Template:
        """A video's frames stand between one pair of markers."""
        if self.cut.video:
            return filmed(self._PICTURED, "<|video_pad|>", self.image)
        return self._PICTURED

    @property
    def special_tokens(self) -> Mapping[str, int]:
        """Spelling and id, as in the published tokenizer."""
        return self.config.tokens.spelled()

    @property
    def unit(self) -> tuple[int, str]:
        """Whole windows only: then a windowed layer is one batched attention without a mask."""
        return self.config.vision.window_size, "attention window"

    @property
    def network(self) -> Network:
        """`Qwen2_5_VLModel`."""
        from neon_edge.backbones.qwen_vl_torch import VLNetwork

        return VLNetwork(self.config)

    def settings(self) -> dict[str, Any]:
        """Head counts, windows, norms and rotary constants, by their keys in config.json."""
        vision, text = self.config.vision, self.config.text
        timed = {
            "video_token_id": self.config.tokens.video,
            "vision_config.tokens_per_second": self.config.tokens_per_second,
        }
        return (timed if self.cut.video else {}) | {
            "text_config.num_attention_heads": text.num_heads,
            "text_config.num_key_value_heads": text.num_kv_heads,
            "text_config.rms_norm_eps": text.rms_norm_eps,
            "text_config.rope_parameters.rope_theta": text.rope_theta,
            "text_config.rope_parameters.mrope_section": list(text.mrope_section),
            "image_token_id": self.config.tokens.image,
            "vision_start_token_id": self.config.tokens.vision_start,
            "vision_config.num_heads": vision.num_heads,
            "vision_config.window_size": vision.window_size,
            "vision_config.spatial_merge_size": vision.spatial_merge_size,
            "vision_config.fullatt_block_indexes": vision.full_attention,
        }
