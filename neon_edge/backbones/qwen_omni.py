"""Qwen2.5-Omni: the thinker's vision tower and text decoder, cut at the pooled last hidden state.

Configuration: transformers `models/qwen2_5_omni/configuration_qwen2_5_omni.py`; chat template: the
`chat_template.json` published with the model, which adds its system message to a lone user's one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from neon_edge.backbones.contract import Template
from neon_edge.backbones.qwen import QwenFamily
from neon_edge.backbones.qwen_config import Text, WindowedVision

if TYPE_CHECKING:
    from neon_edge.backbones.qwen_network import Network


class Tokens(Struct, frozen=True, forbid_unknown_fields=True):
    """Ids of the special tokens."""

    end_of_text: int
    im_start: int
    im_end: int
    audio: int
    audio_bos: int
    audio_eos: int
    vision_bos: int
    vision_eos: int
    image: int
    video: int


class QwenOmniConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`[config]` of a recipe of this family."""

    vision: WindowedVision
    text: Text
    tokens: Tokens
    position_id_per_seconds: int = 25


class QwenOmni(QwenFamily):
    """The family's `Adaptor`."""

    config: QwenOmniConfig
    config_type = QwenOmniConfig
    embedding = "thinker.model.embed_tokens.weight"
    prefixes = ("thinker.visual.", "thinker.model.")
    template = Template(
        before=(
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
            "<|im_start|>user\n<|vision_bos|>"
        ),
        separator="<|vision_eos|><|vision_bos|>",
        between="<|vision_eos|>",
        after="<|im_end|>\n<|im_start|>assistant\n",
        picture="<|IMAGE|>",
    )

    @property
    def special_tokens(self) -> Mapping[str, int]:
        """Spelling and id, as in the published tokenizer."""
        tokens = self.config.tokens
        return {
            "<|endoftext|>": tokens.end_of_text,
            "<|im_start|>": tokens.im_start,
            "<|im_end|>": tokens.im_end,
            "<|AUDIO|>": tokens.audio,
            "<|audio_bos|>": tokens.audio_bos,
            "<|audio_eos|>": tokens.audio_eos,
            "<|vision_bos|>": tokens.vision_bos,
            "<|vision_eos|>": tokens.vision_eos,
            "<|IMAGE|>": tokens.image,
            "<|VIDEO|>": tokens.video,
        }

    @property
    def unit(self) -> tuple[int, str]:
        """Whole windows only: then a windowed layer is one batched attention without a mask."""
        return self.config.vision.window_size, "attention window"

    @property
    def network(self) -> Network:
        """`Qwen2_5OmniThinkerModel`."""
        from neon_edge.backbones.qwen_omni_torch import OmniNetwork

        return OmniNetwork(self.config)

    def settings(self) -> dict[str, Any]:
        """Head counts, windows, norms and rotary constants, by their keys in config.json."""
        vision, text = self.config.vision, self.config.text
        return {
            "thinker_config.text_config.num_attention_heads": text.num_heads,
            "thinker_config.text_config.num_key_value_heads": text.num_kv_heads,
            "thinker_config.text_config.rms_norm_eps": text.rms_norm_eps,
            "thinker_config.text_config.rope_theta": text.rope_theta,
            "thinker_config.text_config.rope_scaling.mrope_section": list(text.mrope_section),
            "thinker_config.vision_config.num_heads": vision.num_heads,
            "thinker_config.vision_config.window_size": vision.window_size,
            "thinker_config.vision_config.spatial_merge_size": vision.spatial_merge_size,
            "thinker_config.vision_config.fullatt_block_indexes": vision.full_attention,
            "thinker_config.image_token_index": self.config.tokens.image,
        }
