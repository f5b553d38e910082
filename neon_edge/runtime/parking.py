"""The way to the pose in which a robot is left: all joints together, at a bounded speed."""

from __future__ import annotations

import math

import numpy as np

from neon_edge.config import RobotConfig
from neon_edge.safety.filter import smooth
from neon_edge.types import Float32, JointState, Rung, Setpoint

PEAK = 1.875
"""Highest speed of a minimum-jerk motion over its mean."""


class Parking:
    """From `standing` (joints,) rad, the last command, to the robot file's pose.

    A function of how often it was asked, so that a replay comes out the same. Raises `ValueError`
    for a robot without a pose to park in.
    """

    def __init__(self, robot: RobotConfig, standing: Float32) -> None:
        if robot.park is None:
            raise ValueError("this robot has no pose to park in")
        names = robot.joint_names
        self._named = np.array([names.index(name) for name in robot.park.pose], dtype=np.intp)
        self._from: Float32 = standing.copy()
        self._to: Float32 = standing.copy()
        self._to[self._named] = list(robot.park.pose.values())
        self._within = robot.park.within_rad
        furthest = float(np.abs(self._to - self._from).max())
        duration_s = PEAK * furthest / robot.park.velocity
        self._ticks = max(1, math.ceil(duration_s * robot.rate_hz))
        self._tick = 0
        self._base: Float32 = np.zeros(3, np.float32)

    def setpoint(self, rung: Rung, at_ns: int) -> Setpoint:
        """The next step; where it is, while the robot stands on `rung` hold or below."""
        if rung < Rung.HOLD and self._tick < self._ticks:
            self._tick += 1
        share = np.float32(smooth(self._tick / self._ticks))
        return Setpoint(self._from + share * (self._to - self._from), self._base, 0, at_ns)

    def ended(self, rung: Rung, joints: JointState) -> bool:
        """Arrived, or on a rung from which nothing moves any more."""
        if rung >= Rung.DAMP:
            return True
        off = np.abs(joints.position[self._named] - self._to[self._named])
        return self._tick == self._ticks and bool((off <= self._within).all())
