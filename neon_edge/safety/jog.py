"""Moving by hand: small goals outside any head, inside the same limits, a tick at a time."""

from __future__ import annotations

import numpy as np

from neon_edge.config import RobotConfig
from neon_edge.safety.limits import Limits
from neon_edge.safety.motion import robot_motion
from neon_edge.safety.watch import all_finite, refuse_not_finite
from neon_edge.types import Float32, JointCommand, Rung


class Jog:
    """For bring-up, with a person beside the robot: no features, so no ladder; limits all the same.

    Starts at `measured` (joints,), rad; raises `ConfigWrong` where that is not finite. A goal that
    is not finite is not taken: the last one holds.
    """

    def __init__(self, robot: RobotConfig, measured: Float32) -> None:
        refuse_not_finite(measured)
        limits = Limits(robot)
        self._motion = robot_motion(robot, limits.lower, limits.upper)
        self._motion.reset(measured)
        self._wanted: Float32 = measured.astype(np.float32)
        self._zeros: Float32 = np.zeros(len(measured), dtype=np.float32)
        self._base: Float32 = np.zeros(3, dtype=np.float32)
        self._kp: Float32 = np.array([joint.kp for joint in robot.joints], dtype=np.float32)
        self._kd: Float32 = np.array([joint.kd for joint in robot.joints], dtype=np.float32)

    def command(self, goal: Float32, now_ns: int) -> JointCommand:
        """One tick towards `goal` (joints,), rad."""
        if all_finite(goal):
            np.copyto(self._wanted, goal)
        position = self._motion.step(self._wanted).astype(np.float32)
        zeros, base = self._zeros, self._base
        return JointCommand(position, zeros, self._kp, self._kd, zeros, base, Rung.RUN, 0, now_ns)
