"""Velocity, acceleration and jerk limits of all joints at once, and no joint past a position limit.

Two stages, both exact in ticks. The first moves at the highest speed from which a joint can still
stop at its goal, changing it by A·dt a tick at most. The second averages the last N positions:
an average lies among what it averages, so no limit is passed that the first keeps, and its
acceleration changes by 2A / N a tick at most, so N = 2A / (J·dt) keeps the jerk. The price is a
delay of (N - 1) / 2 ticks, about A / J.

Braking by q = A·dt a tick from speed v = m·q + r, 0 ≤ r < q, a joint covers (m + 1)(m·q / 2 + r)·dt
in m + 1 ticks; solved for v (as Han's discrete time-optimal control does, IEEE TIE 2009).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from neon_edge.config import RobotConfig
from neon_edge.types import Float32, Float64


class MotionLimiter:
    """Limits of n joints, (n,) each, SI; `reset` before the first `step` and when motion restarts.

    Raises `ValueError` for limits that are not positive, or crossed.
    """

    def __init__(
        self,
        lower: Float64,
        upper: Float64,
        velocity: Float64,
        acceleration: Float64,
        jerk: Float64,
        period_s: float,
    ) -> None:
        rates = np.stack([velocity, acceleration, jerk]).astype(np.float64)
        if not (period_s > 0 and bool((rates > 0).all() and (lower <= upper).all())):
            raise ValueError("limits must be positive and lower not above upper")
        n = rates.shape[1]
        self._lower, self._upper = lower.astype(np.float64), upper.astype(np.float64)
        # Everything below counts in radians a tick.
        self._fastest = rates[0] * period_s
        self._change = rates[1] * period_s**2
        self._window = np.maximum(np.ceil(2 * rates[1] / (rates[2] * period_s) - 1e-9), 1.0)
        self.delay_ticks: Float64 = (self._window - 1) / 2
        """What the second stage delays each joint by, (n,)."""
        self._joints = np.arange(n)
        self._past = np.empty((int(self._window.max()), n))
        self._tick = 0
        self._floor, self._ceiling = np.empty(n), np.empty(n)
        self._position = np.empty(n)
        self._speed = np.empty(n)
        self._sum = np.empty(n)
        self.reset(np.zeros(n))

    def reset(self, position: npt.ArrayLike) -> None:
        """Stand still at `position` (n,). From outside its limits a joint goes no further out."""
        self._position[:] = position
        np.minimum(self._lower, self._position, out=self._floor)
        np.maximum(self._upper, self._position, out=self._ceiling)
        self._speed[:] = 0.0
        self._past[:] = self._position
        np.multiply(self._position, self._window, out=self._sum)

    def step(self, wanted: npt.ArrayLike) -> Float64:
        """One tick towards `wanted` (n,) rad; the position to command, (n,).

        Raises `ValueError` for what is not finite, and moves nothing.
        """
        goal = np.array(wanted, np.float64)
        if not np.isfinite(goal.sum()):
            raise ValueError(f"wanted positions are not finite: {goal.tolist()}")
        np.maximum(goal, self._floor, out=goal)
        np.minimum(goal, self._ceiling, out=goal)
        goal -= self._position
        # What could stop at the last goal stops no further out than a limit if it brakes from now
        # on, and it does where this goal lies behind: a goal that jumps may be passed, a limit not.
        speed = np.copysign(self._fastest_that_stops(np.abs(goal)), goal)
        np.maximum(speed, self._speed - self._change, out=speed)
        np.minimum(speed, self._speed + self._change, out=speed)
        np.maximum(speed, -self._fastest, out=speed)
        np.minimum(speed, self._fastest, out=self._speed)
        self._position += self._speed
        return self._averaged()

    def rest(self) -> Float64:
        """Where every joint comes to rest if it brakes from now on, (n,) rad."""
        speed, change = np.abs(self._speed), self._change
        ticks = np.floor(speed / change)
        room = ticks * (speed - (ticks + 1.0) * 0.5 * change)
        rest: Float64 = self._position + np.copysign(room, self._speed)
        return rest

    def _fastest_that_stops(self, room: Float64) -> Float64:
        change = self._change
        whole = np.floor((np.sqrt(1.0 + 8.0 / change * room) - 1.0) * 0.5)
        fastest: Float64 = room / (whole + 1.0) + 0.5 * whole * change
        return fastest

    def _averaged(self) -> Float64:
        past, rows = self._past, len(self._past)
        self._tick = (self._tick + 1) % rows
        oldest = (self._tick - self._window.astype(np.intp)) % rows
        self._sum += self._position - past[oldest, self._joints]
        past[self._tick] = self._position
        averaged: Float64 = self._sum / self._window
        return averaged


def robot_motion(robot: RobotConfig, lower: Float32, upper: Float32) -> MotionLimiter:
    """The limiter of a robot's joints, to stay between `lower` and `upper`, (joints,) rad."""
    rates = [(each.velocity, each.acceleration_limit, each.jerk_limit) for each in robot.joints]
    velocity, acceleration, jerk = np.array(rates, np.float64).T
    return MotionLimiter(
        lower.astype(np.float64), upper.astype(np.float64),
        velocity, acceleration, jerk, 1.0 / robot.rate_hz,
    )  # fmt: skip
