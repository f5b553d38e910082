"""Position and velocity limits of all joints at once: pure functions of arrays, no allocation."""

from __future__ import annotations

import numpy as np

from neon_edge.config import RobotConfig
from neon_edge.types import Float32


class Limits:
    """Per-joint bounds, (joints,) float32, with the margin already taken off."""

    def __init__(self, robot: RobotConfig) -> None:
        margin = robot.safety.position_margin_rad
        lower = np.array([joint.lower for joint in robot.joints], dtype=np.float32)
        upper = np.array([joint.upper for joint in robot.joints], dtype=np.float32)
        # A joint with less room than two margins keeps its middle instead of crossed limits.
        middle = (lower + upper) / 2
        self.lower: Float32 = np.minimum(lower + np.float32(margin), middle)
        self.upper: Float32 = np.maximum(upper - np.float32(margin), middle)
        self.step: Float32 = np.array(
            [joint.velocity / robot.rate_hz for joint in robot.joints], dtype=np.float32
        )
        """rad a tick"""
        self.base: Float32 = np.array(robot.base_velocity_limits, dtype=np.float32)
        self._bound: Float32 = np.empty(len(robot.joints), np.float32)

    def clamp_position(self, position: Float32) -> None:
        """Into the position limits, in place."""
        np.maximum(position, self.lower, out=position)
        np.minimum(position, self.upper, out=position)

    def clamp_step(self, position: Float32, previous: Float32) -> None:
        """No further from `previous` than one tick at the velocity limit, in place."""
        np.subtract(previous, self.step, out=self._bound)
        np.maximum(position, self._bound, out=position)
        np.add(previous, self.step, out=self._bound)
        np.minimum(position, self._bound, out=position)

    def clamp_base(self, velocity: Float32) -> None:
        """Base velocity (3,) into its limits, in place."""
        np.maximum(velocity, -self.base, out=velocity)
        np.minimum(velocity, self.base, out=velocity)
