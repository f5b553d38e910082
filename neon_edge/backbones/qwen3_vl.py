"""Qwen3-VL, which Cosmos-Reason2 is: tower and decoder, cut at the pooled last hidden state.

Configuration: transformers `models/qwen3_vl/configuration_qwen3_vl.py`; chat template: the one
published with the model, which adds no system message. Three layers of the tower have mergers of
their own; what they see is added to the decoder's first hidden states (DeepStack, arXiv
2406.04334).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from neon_edge.backbones.contract import Template
from neon_edge.backbones.qwen import QwenFamily
from neon_edge.backbones.qwen_config import Text, Vision, VisualTokens
from neon_edge.backbones.qwen_video import stamped

if TYPE_CHECKING:
    from neon_edge.backbones.qwen_network import Network


class StackedVision(Vision, frozen=True, forbid_unknown_fields=True):
    """Qwen3-VL's tower."""

    position_side: int
    """Learned positions lie on a square grid of so many a side, resampled to the picture's."""
    deepstack: list[int]
    """Layers whose features join the decoder behind its layers 0, 1, 2 …"""


class HeadedText(Text, frozen=True, forbid_unknown_fields=True):
    """Qwen3's decoder states the size of a head by itself."""

    head_size: int

    @property
    def head(self) -> int:
        """Numbers in one attention head."""
        return self.head_size


class Qwen3VLConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`[config]` of a recipe of this family."""

    vision: StackedVision
    text: HeadedText
    tokens: VisualTokens


class Qwen3VL(QwenFamily):
    """The family's `Adaptor`."""

    config: Qwen3VLConfig
    config_type = Qwen3VLConfig
    embedding = "model.language_model.embed_tokens.weight"
    prefixes = ("model.visual.", "model.language_model.")
    _PICTURED = Template(
        before="<|im_start|>user\n<|vision_start|>",
        separator="<|vision_end|><|vision_start|>",
        between="<|vision_end|>",
        after="<|im_end|>\n<|im_start|>assistant\n",
        picture="<|image_pad|>",
    )

    @property
    def template(self) -> Template:
        """Of a video, every pair of frames stands behind its time."""
        if self.cut.video:
            return stamped(self._PICTURED, "<|video_pad|>", self.image)
        return self._PICTURED

    @property
    def special_tokens(self) -> Mapping[str, int]:
        """Spelling and id, as in the published tokenizer."""
        return self.config.tokens.spelled()

    @property
    def unit(self) -> tuple[int, str]:
        """Patches merge two by two into a token; there are no windows."""
        vision = self.config.vision
        return vision.patch_size * vision.spatial_merge_size, "token"

    @property
    def stacked(self) -> int:
        """One decoder layer for every layer of the tower that is listed."""
        return len(self.config.vision.deepstack)

    @property
    def network(self) -> Network:
        """`Qwen3VLModel`."""
        from neon_edge.backbones.qwen3_vl_torch import Qwen3Network

        return Qwen3Network(self.config)

    def settings(self) -> dict[str, Any]:
        """Head counts, DeepStack layers, norms and rotary constants, by their published keys."""
        vision, text = self.config.vision, self.config.text
        filmed = {"video_token_id": self.config.tokens.video} if self.cut.video else {}
        return filmed | {
            "text_config.num_attention_heads": text.num_heads,
            "text_config.num_key_value_heads": text.num_kv_heads,
            "text_config.head_dim": text.head_size,
            "text_config.rms_norm_eps": text.rms_norm_eps,
            "text_config.rope_parameters.rope_theta": text.rope_theta,
            "text_config.rope_parameters.mrope_section": list(text.mrope_section),
            "vision_config.num_heads": vision.num_heads,
            "vision_config.spatial_merge_size": vision.spatial_merge_size,
            "vision_config.deepstack_visual_indexes": vision.deepstack,
            "image_token_id": self.config.tokens.image,
        }
