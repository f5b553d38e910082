"""Which rung of the ladder the robot stands on, and why: judged afresh every tick.

Here: RUN and HOLD. A hold ends by itself when its cause does, through a ramp.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from neon_edge.config import SafetyLimits
from neon_edge.types import Features, Float32, JointState, Rung, Setpoint


class Cause(IntEnum):
    """Why the robot is not simply running."""

    NONE = 0
    NO_FEATURES = 1
    FEATURES_OLD = 2
    JOINT_SILENT = 3
    NOT_FINITE = 4


RUNG_FOR: dict[Cause, Rung] = {
    Cause.NONE: Rung.RUN,
    Cause.NO_FEATURES: Rung.HOLD,
    Cause.FEATURES_OLD: Rung.HOLD,
    Cause.JOINT_SILENT: Rung.HOLD,
    Cause.NOT_FINITE: Rung.HOLD,
}


def all_finite(array: Float32) -> bool:
    """Neither NaN nor infinity anywhere."""
    return bool(np.isfinite(array).all())


class Watch:
    """Judges one tick's inputs against a robot's thresholds."""

    def __init__(self, limits: SafetyLimits) -> None:
        self._features_ns = round(limits.features_hold_after_ms * 1e6)
        self._joint_ns = round(limits.joint_hold_after_ms * 1e6)

    def cause(
        self,
        features: Features | None,
        joints: JointState,
        setpoint: Setpoint | None,
        now_ns: int,
    ) -> Cause:
        """The gravest cause that holds now."""
        if features is None or setpoint is None:
            return Cause.NO_FEATURES
        if now_ns - features.captured_ns > self._features_ns:
            return Cause.FEATURES_OLD
        if now_ns - int(joints.received_ns.min()) > self._joint_ns:
            return Cause.JOINT_SILENT
        if not all_finite(setpoint.position) or not all_finite(setpoint.base_velocity):
            return Cause.NOT_FINITE
        return Cause.NONE
