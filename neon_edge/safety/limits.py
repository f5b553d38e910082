"""Position limits of all joints: functions of arrays, no allocation."""

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

    def clamp_position(self, position: Float32) -> None:
        """Into the position limits, in place."""
        np.maximum(position, self.lower, out=position)
        np.minimum(position, self.upper, out=position)
