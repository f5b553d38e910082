"""When a camera or a microphone counts as dark, frozen, silent or lost."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Positive = Annotated[float, Meta(gt=0)]


class Senses(Struct, frozen=True, forbid_unknown_fields=True):
    """Thresholds, and what follows; each default says why it is what it is."""

    act: Literal["hold", "report"] | None = None
    """What follows of a dark or frozen camera. "hold": no features are made of it, so the robot
    holds once the last are old, and damps where that lasts. "report": people are told, and the
    robot moves by what the camera shows. Without the key: hold, for a picture that does not change
    shows nothing, however fresh its stamp (a camera that is rendered, and has no noise, needs
    "report"); but a backbone that was trained to miss a sense (TRIBE) goes on without it."""
    dark_level: Annotated[float, Meta(ge=0, le=255)] = 12.0
    """A picture is dark when 99 of 100 pixels are no brighter, of 255, in any colour. A covered
    lens shows a sensor's noise at full gain, a few levels; a room at night has a light or a screen
    that fills more than the hundredth pixel."""
    dark_after_s: Positive = 0.5
    """So long on end: a hand that passes, or one frame that a driver lost, is no dark camera."""
    frozen_after_s: Positive = 2.0
    """Not one looked-at pixel changes for so long. Every live sensor's noise changes some within a
    frame; a driver that repeats its last buffer changes none."""
    silent_below: Positive = 1.5e-5
    """Deviation of the newest sound, of full scale: half a step of 16 bits. The self-noise of a
    quiet MEMS microphone is about one step; only one that is unplugged or muted stays under it."""
    silent_after_s: Positive = 0.5
    lost_after_s: Positive = 1.0
    """Nothing new from the device for so long. Slower cameras than 1 Hz need more."""
