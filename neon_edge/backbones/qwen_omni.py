"""Qwen2.5-Omni: the thinker's vision tower and text decoder, cut at the pooled last hidden state.

Configuration: transformers `models/qwen2_5_omni/configuration_qwen2_5_omni.py`; chat template: the
`chat_template.json` published with the model, which adds its system message to a lone user's one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct, structs

from neon_edge.backbones.contract import Template
from neon_edge.backbones.qwen import QwenFamily
from neon_edge.backbones.qwen_config import Text, WindowedVision
from neon_edge.backbones.qwen_video import filmed
from neon_edge.engine.manifest import AudioGeometry
from neon_edge.errors import ConfigWrong

if TYPE_CHECKING:
    from neon_edge.backbones.qwen_network import Network


_FRAMES_A_TOKEN = 4
"""Of the spectrogram: a convolution halves them, averaging pairs halves them again."""


class Audio(Struct, frozen=True, forbid_unknown_fields=True):
    """The audio tower, and the spectrogram that it takes."""

    num_layers: int
    hidden_size: int
    num_heads: int
    intermediate_size: int
    mels: int
    rate_hz: int
    fft: int
    """Samples in one frame of the spectrogram."""
    hop: int
    """Samples from one frame to the next."""
    chunk_frames: int
    """Frames that attend to each other; a window of sound is whole chunks."""
    max_positions: int


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
    audio: Audio
    tokens: Tokens
    position_id_per_seconds: int = 25


class QwenOmni(QwenFamily):
    """The family's `Adaptor`."""

    config: QwenOmniConfig
    config_type = QwenOmniConfig
    embedding = "thinker.model.embed_tokens.weight"
    untold_fps = 2.0
    _SILENT = Template(
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
    def prefixes(self) -> tuple[str, ...]:
        """The audio tower's too where it is used."""
        return ("thinker.visual.", "thinker.model.") + (
            ("thinker.audio_tower.",) if self.audio is not None else ()
        )

    @property
    def template(self) -> Template:
        """With sound, it stands between the pictures and the instruction."""
        template = self._SILENT
        if self.cut.video:
            template = filmed(template, "<|VIDEO|>", self.image)
        if self.audio is None:
            return template
        return structs.replace(
            template,
            between=template.between + "<|audio_bos|>",
            sound="<|AUDIO|>",
            heard="<|audio_eos|>",
        )

    @property
    def audio(self) -> AudioGeometry | None:
        """Constants of `WhisperFeatureExtractor`, at the cut's length."""
        ear = self.config.audio
        frames = self.cut.audio_seconds * ear.rate_hz // ear.hop
        if frames == 0:
            return None
        return AudioGeometry(
            rate_hz=ear.rate_hz,
            samples=frames * ear.hop,
            mels=ear.mels,
            fft=ear.fft,
            hop=ear.hop,
            tokens=frames // _FRAMES_A_TOKEN,
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

        return OmniNetwork(self.config, self.audio is not None)

    def settings(self) -> dict[str, Any]:
        """Head counts, windows, norms and rotary constants, by their keys in config.json."""
        vision, text = self.config.vision, self.config.text
        timed = {
            "thinker_config.video_token_index": self.config.tokens.video,
            "thinker_config.position_id_per_seconds": self.config.position_id_per_seconds,
        }
        return (timed if self.cut.video else {}) | {
            "thinker_config.text_config.num_attention_heads": text.num_heads,
            "thinker_config.text_config.num_key_value_heads": text.num_kv_heads,
            "thinker_config.text_config.rms_norm_eps": text.rms_norm_eps,
            "thinker_config.text_config.rope_parameters.rope_theta": text.rope_theta,
            "thinker_config.text_config.rope_parameters.mrope_section": list(text.mrope_section),
            "thinker_config.vision_config.num_heads": vision.num_heads,
            "thinker_config.vision_config.window_size": vision.window_size,
            "thinker_config.vision_config.spatial_merge_size": vision.spatial_merge_size,
            "thinker_config.vision_config.fullatt_block_indexes": vision.full_attention,
            "thinker_config.image_token_index": self.config.tokens.image,
            "thinker_config.audio_config.encoder_attention_heads": self.config.audio.num_heads,
            "thinker_config.audio_config.n_window": self.config.audio.chunk_frames // 2,
        }

    def _check(self) -> None:
        super()._check()
        ear, audio = self.config.audio, self.audio
        if audio is not None and audio.frames % ear.chunk_frames:
            raise ConfigWrong(
                "sound must be cut into whole chunks",
                f"{audio.frames} frames, chunks of {ear.chunk_frames}",
                f"use multiples of {ear.chunk_frames * ear.hop / ear.rate_hz:g} s",
            )
