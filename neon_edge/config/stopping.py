"""What a robot file says of stopping: where to park, who may stop it, who hears that it is well."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from neon_edge.config.motors import Positive


class Park(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a robot with stop = "park" goes before it ends; features are not needed for it.

    Joints that `pose` does not name stay where they are.
    """

    pose: dict[str, float]
    """rad, by joint name."""
    velocity: Positive = 0.5
    """rad/s of the joint that has furthest to go, at most; all arrive together."""
    timeout_s: Annotated[float, Meta(gt=0, le=120)] = 20.0
    """Then it ends where it is, with a warning."""
    within_rad: Positive = 0.1
    """Arrived: every named joint is measured this close."""
    then: Literal["relax", "hold", "damp"] = "relax"
    """What happens there: torque off at once, or after `stop_s` of holding or of damping."""
