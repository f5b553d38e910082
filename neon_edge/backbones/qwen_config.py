"""What every Qwen family's `[config]` says in the same words."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct


class Vision(Struct, frozen=True, forbid_unknown_fields=True):
    """A vision tower."""

    depth: int
    hidden_size: int
    num_heads: int
    intermediate_size: int
    patch_size: int
    temporal_patch_size: int
    spatial_merge_size: int
    image_mean: tuple[float, float, float]
    image_std: tuple[float, float, float]


class WindowedVision(Vision, frozen=True, forbid_unknown_fields=True):
    """Qwen2.5's tower: most layers look no further than their window."""

    window_size: int
    """Pixels a side; layers not in `full_attention` look no further."""
    full_attention: list[int]


class Text(Struct, frozen=True, forbid_unknown_fields=True):
    """A text decoder."""

    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    intermediate_size: int
    vocab_size: int
    rms_norm_eps: float
    rope_theta: float
    mrope_section: tuple[int, int, int]
    max_positions: int

    @property
    def head(self) -> int:
        """Numbers in one attention head."""
        return self.hidden_size // self.num_heads


class QwenConfig(Protocol):
    """Whatever else a family adds."""

    @property
    def vision(self) -> Vision:
        """The vision tower."""

    @property
    def text(self) -> Text:
        """The text decoder."""


class VisualTokens(Struct, frozen=True, forbid_unknown_fields=True):
    """Ids of the special tokens of the families that see and do not hear."""

    end_of_text: int
    im_start: int
    im_end: int
    vision_start: int
    vision_end: int
    image: int
    video: int

    def spelled(self) -> dict[str, int]:
        """Spelling and id, as in the published tokenizers."""
        return {
            "<|endoftext|>": self.end_of_text,
            "<|im_start|>": self.im_start,
            "<|im_end|>": self.im_end,
            "<|vision_start|>": self.vision_start,
            "<|vision_end|>": self.vision_end,
            "<|image_pad|>": self.image,
            "<|video_pad|>": self.video,
        }
