"""What a manifest says about accuracy: what was compared with what, and what was found."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Gate(Struct, frozen=True, forbid_unknown_fields=True):
    """One measured accuracy against its limit."""

    name: str
    measured: float
    limit: float
    unit: str
    passed: bool
    worst: str = ""
    """Which joint, sample or tensor set the figure."""


class ErrorRow(Struct, frozen=True, forbid_unknown_fields=True):
    """How far one joint or feature is off over all verification samples."""

    name: str
    p50: float
    p99: float
    max: float
    unit: str
    step_max: float | None = None
    """Largest change of a joint's error between neighbouring rows of a chunk, rad/s at 50 Hz."""
    mean: float | None = None
    """Of features, whose mean says more than their median."""


class Candidate(Struct, frozen=True, forbid_unknown_fields=True):
    """One precision that a build tried: what it is worth on this machine."""

    name: str
    passed: bool
    median_ms: float
    """Of a whole backbone pass here; 0 where its gate failed and it was not timed."""
    weight_bytes: int
    """Of its graphs."""
    note: str
    chosen: bool = False


class Judged(Struct, frozen=True, forbid_unknown_fields=True):
    """The recording that plans are judged on."""

    source: str
    """Its name, and 16 hex digits of it."""
    episodes: list[int]
    moments: int
    tuning: int
    """Of the moments, how many first ones decided what went back to float; they judge no
    quantised plan."""
    seed: int
    sha256: str
    """Of the moments."""
    joints: Literal["recorded", "drawn"]
    """Whether joint states are the robot's, or drawn inside the joints' limits."""
    sound: Literal["recorded", "drawn", ""] = ""
    """Empty where the backbone does not listen."""


class Verification(Struct, frozen=True, forbid_unknown_fields=True):
    """What plans are compared with, and how far off they may be.

    The samples were computed by the original network in torch when the bundle was made, so that
    plans are verified where they are compiled, and that machine needs no torch.
    """

    samples: str
    """An .npz beside the bundle's manifest: pictures, words, joints, sensors, pooled, chunk."""
    samples_sha256: str
    instruction: str
    """That plans are timed with: the first moment's."""
    pooled_relative: float
    """Limit of the largest pooled-feature error over the largest pooled feature."""
    joint_rad: float
    """Limit of the largest error of any joint in any chunk, rad; and of all else whose own limit
    is 0."""
    cosine: float = 0.0
    """Least cosine of any sample's pooled features; above 0 it stands in for `pooled_relative`."""
    joint_p99_rad: float = 0.0
    """Limit of the 99th percentile of any joint's error, rad; 0 is no limit."""
    joint_rad_s: float = 0.0
    """Limit of the largest change of a joint's error between rows, rad/s; 0 is no limit."""
    base_m_s: float = 0.0
    base_rad_s: float = 0.0
    opening: float = 0.0
    """Of a gripper's, in openings."""
    judged: Judged | None = None
    """Absent in bundles made before it was written down."""

    def limit(self, unit: str) -> float:
        """Of the largest error of a column in `unit`."""
        own = {"m/s": self.base_m_s, "rad/s": self.base_rad_s, "opening": self.opening}
        return own.get(unit, 0.0) or self.joint_rad
