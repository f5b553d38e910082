"""What a manifest says about accuracy: what was compared with what, and what was found."""

from __future__ import annotations

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


class Verification(Struct, frozen=True, forbid_unknown_fields=True):
    """What plans are compared with, and how far off they may be.

    The samples were computed by the original network in torch when the bundle was made, so that
    plans are verified where they are compiled, and that machine needs no torch.
    """

    samples: str
    """An .npz beside the bundle's manifest: frames, joints, sensors, pooled, chunk."""
    samples_sha256: str
    instruction: str
    pooled_relative: float
    """Limit of the largest pooled-feature error over the largest pooled feature."""
    joint_rad: float
    """Limit of the largest error of any joint in any chunk, rad (m/s, rad/s for the base)."""
    cosine: float = 0.0
    """Least cosine of any sample's pooled features; above 0 it stands in for `pooled_relative`."""
    joint_p99_rad: float = 0.0
    """Limit of the 99th percentile of any joint's error, rad; 0 is no limit."""
