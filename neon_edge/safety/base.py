"""The base's limits: velocity and acceleration per axis, three numbers, no allocation a tick."""

from __future__ import annotations

import numpy as np

from neon_edge.config import RobotConfig
from neon_edge.safety.watch import all_finite
from neon_edge.types import Float32


class BaseMotion:
    """Remembers the velocity that was last let through: forward m/s, sideways m/s, turn rad/s.

    From one tick to the next each axis changes by its acceleration times the period at most. A late
    tick stretches that, never the change itself.
    """

    def __init__(self, robot: RobotConfig) -> None:
        self._fastest: Float32 = np.array(robot.base_velocity_limits, np.float32)
        change = np.array(robot.base_acceleration, np.float64) / robot.rate_hz
        # Rounded down, so that float32 adds no last bit to a limit.
        self._change: Float32 = np.nextafter(change.astype(np.float32), np.float32(-np.inf))
        self._goal: Float32 = np.empty(3, np.float32)
        self._lowest, self._highest = np.empty(3, np.float32), np.empty(3, np.float32)
        self.velocity: Float32 = np.zeros(3, np.float32)
        """What may be sent, (3,); overwritten by every call."""

    def towards(self, wanted: Float32, *, share: float) -> Float32:
        """One tick towards `share` of `wanted` (3,); what is not finite asks for a standstill."""
        if all_finite(wanted):
            np.multiply(wanted, np.float32(share), out=self._goal)
        else:
            self._goal[:] = 0.0
        return self._step()

    def brake(self) -> Float32:
        """One tick towards a standstill."""
        self._goal[:] = 0.0
        return self._step()

    def stop(self) -> Float32:
        """Zero at once, whatever the acceleration."""
        self.velocity[:] = 0.0
        return self.velocity

    def _step(self) -> Float32:
        np.subtract(self.velocity, self._change, out=self._lowest)
        np.add(self.velocity, self._change, out=self._highest)
        np.maximum(self._goal, self._lowest, out=self._goal)
        np.minimum(self._goal, self._highest, out=self._goal)
        np.maximum(self._goal, -self._fastest, out=self._goal)
        np.minimum(self._goal, self._fastest, out=self.velocity)
        return self.velocity
