"""Velocity, acceleration and jerk limits of all joints at once, and no joint past a position limit.

Two stages, both exact in ticks. The first moves at the highest speed from which a joint can still
stop at its goal, changing it by A·dt a tick at most. The second averages the last N positions:
an average lies among what it averages, so no limit is passed that the first keeps, and its
acceleration changes by 2A / N a tick at most, so N = 2A / (J·dt) keeps the jerk. The price is a
delay of (N - 1) / 2 ticks.

Braking by q = A·dt a tick from speed v = m·q + r, 0 ≤ r < q, a joint covers (m + 1)(m·q / 2 + r)·dt
in m + 1 ticks; solved for v (as Han's discrete time-optimal control does, IEEE TIE 2009).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]


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
        n = len(lower)
        self._lower, self._upper = lower.astype(np.float64), upper.astype(np.float64)
        # Everything below counts in radians a tick.
        self._fastest = rates[0] * period_s
        self._change = rates[1] * period_s**2
        self._window = np.maximum(np.ceil(2 * rates[1] / (rates[2] * period_s) - 1e-9), 1.0)
        self.delay_ticks: Float64 = (self._window - 1) / 2
        """What the second stage delays each joint by, (n,)."""
        self._joints = np.arange(n)
        self._past = np.zeros((int(self._window.max()) + 1, n))
        self._tick = 0
        self._position = np.zeros(n)
        self._speed = np.zeros(n)
        self._sum = np.zeros(n)
        self._scratch = np.empty((3, n))

    def reset(self, position: npt.ArrayLike) -> None:
        """Stand still at `position` (n,). Outside its limits a joint may only come back in."""
        self._position[:] = position
        self._speed[:] = 0.0
        self._past[:] = self._position
        self._sum[:] = self._position * self._window

    def step(self, wanted: npt.ArrayLike) -> Float64:
        """One tick towards `wanted` (n,) rad; the position to command, (n,).

        Raises `ValueError` for what is not finite, and moves nothing.
        """
        goal = np.array(wanted, np.float64)
        if not np.isfinite(goal.sum()):
            raise ValueError(f"wanted positions are not finite: {goal.tolist()}")
        position, speed, change = self._position, self._speed, self._change
        np.minimum(np.maximum(goal, self._lower, out=goal), self._upper, out=goal)
        goal -= position
        room = self._scratch
        np.abs(goal, out=room[0])
        np.subtract(self._upper, position, out=room[1])
        np.subtract(position, self._lower, out=room[2])
        to_goal, to_upper, to_lower = self._fastest_that_stops(np.maximum(room, 0.0, out=room))
        np.copysign(to_goal, goal, out=to_goal)
        np.minimum(np.maximum(to_goal, speed - change), speed + change, out=speed)
        np.minimum(np.maximum(speed, -self._fastest, out=speed), self._fastest, out=speed)
        # The limits come last: a goal that jumps may be passed, a limit never.
        np.minimum(np.maximum(speed, -to_lower, out=speed), to_upper, out=speed)
        position += speed
        return self._averaged()

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
