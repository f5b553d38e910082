"""What a URDF or an MJCF tells of one joint, and what it leaves open."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from neon_edge.errors import ConfigWrong

DEFAULT_VELOCITY, DEFAULT_EFFORT = 1.0, 1.0
"""Where nobody tells: slow and weak."""


@dataclass
class Described:
    """One joint that turns, SI; None where the file does not tell."""

    name: str
    lower: float | None = None
    upper: float | None = None
    velocity: float | None = None
    effort: float | None = None
    kp: float | None = None
    kd: float | None = None


@dataclass
class Description:
    """A file's joints, in its order, and what it has besides that no motor here can move."""

    joints: list[Described] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def number(text: str, what: str) -> float:
    """A finite number of the file. Raises `ConfigWrong` with `what` it was to be."""
    try:
        value = float(text)
    except ValueError:
        fix = "expand it first: xacro FILE > robot.urdf" if "$" in text else "correct the file"
        raise ConfigWrong(f"{what} is not a number", repr(text), fix) from None
    if not math.isfinite(value):
        raise ConfigWrong(f"{what} is not finite", repr(text), "correct the file")
    return value
