"""A backbone whose senses have an encoder each: what the host must know to run them apart."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Hertz = Annotated[float, Meta(gt=0, le=1000)]
Fusion = Literal["tokens", "steps"]
STEP_NS = 500_000_000
"""Between two steps of a fusion over steps: TRIBE v2 takes its features at 2 Hz."""


class Rates(Struct, frozen=True, forbid_unknown_fields=True):
    """How often each branch runs; text runs when the instruction changes, the fusion each pass."""

    window_hz: Hertz = 4.0
    """Pictures a second that enter the video window."""
    video_hz: Hertz = 2.0
    """Video windows that are encoded in a second, at most."""
    audio_hz: Hertz = 2.0
    """Windows of sound that are encoded in a second, at most; also passes of a blind robot."""


class Streams(Struct, frozen=True, forbid_unknown_fields=True):
    """What `features.streams` runs."""

    rates: Rates
    kept: dict[str, int]
    """Tokens (or steps) of video, audio and text that reach the fusion, in this order."""
    fusion: Fusion = "tokens"
    """Over all tokens, as upstream; or over steps of half a second, as TRIBE v2."""

    @property
    def reads(self) -> bool:
        """Whether words reach the fusion."""
        return bool(self.kept.get("text"))

    @property
    def senses(self) -> list[str]:
        """Which of video and audio reach the fusion."""
        return [name for name in ("video", "audio") if self.kept.get(name)]
