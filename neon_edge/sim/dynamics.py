"""How joints move: inertia, damping, and the limits of effort, speed and travel.

inertia · a = clip(kp (goal - q) + kd (goal_v - v) + torque, ±effort) - damping · v
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from neon_edge.types import Float64

STEP_NS = 1_000_000
LONGEST_NS = 1_000_000_000
"""Time beyond this that passed unseen is skipped: the machine slept, the motors did not move."""


class Mechanics(NamedTuple):
    """One joint's mechanics at its motor, SI units."""

    inertia: float
    damping: float
    lower: float
    upper: float
    velocity: float
    effort: float


class Drive(NamedTuple):
    """What a motor pulls with: towards `goal`, with feed-forward velocity and torque."""

    goal: float
    velocity: float = 0.0
    kp: float = 0.0
    kd: float = 0.0
    torque: float = 0.0


class Dynamics:
    """All joints of a body at the motors' side, integrated at a fixed step. Arrays are (n,)."""

    def __init__(self, axes: Sequence[Mechanics], position: Float64, start_ns: int) -> None:
        columns = np.array(axes, np.float64).reshape(len(axes), 6).T
        self._inertia, self._damping, self._lower, self._upper = columns[:4]
        self._velocity_max = columns[4]
        self.effort: Float64 = columns[5].copy()
        n = len(axes)
        self.position: Float64 = np.clip(position, self._lower, self._upper)
        self.velocity: Float64 = np.zeros(n)
        self.torque: Float64 = np.zeros(n)
        self._goal: Float64 = self.position.copy()
        self._goal_velocity: Float64 = np.zeros(n)
        self._kp: Float64 = np.zeros(n)
        self._kd: Float64 = np.zeros(n)
        self._feedforward: Float64 = np.zeros(n)
        self.reached_ns = start_ns
        """Up to when time has passed for the joints."""

    @property
    def gains(self) -> tuple[Float64, Float64]:
        """kp (N·m/rad) and kd (N·m·s/rad) that each axis is driven with, (n,) each."""
        return self._kp, self._kd

    def drive(self, axis: int, drive: Drive) -> None:
        """Put one axis under impedance control."""
        self._goal[axis] = drive.goal
        self._goal_velocity[axis] = drive.velocity
        self._kp[axis] = drive.kp
        self._kd[axis] = drive.kd
        self._feedforward[axis] = drive.torque

    def release(self, axis: int) -> None:
        """No torque: only the axis' own damping is left."""
        self.drive(axis, Drive(float(self.position[axis])))

    def advance(self, now_ns: int) -> None:
        """Integrate whole steps up to `now_ns`; times that have been reached are ignored."""
        behind_ns = now_ns - self.reached_ns
        if behind_ns > LONGEST_NS:
            self.reached_ns = now_ns - LONGEST_NS
            behind_ns = LONGEST_NS
        for _ in range(behind_ns // STEP_NS):
            self._step(STEP_NS / 1e9)
            self.reached_ns += STEP_NS

    def _step(self, dt: float) -> None:
        # Implicit in velocity, so that stiff gains on a small inertia stay stable at this step.
        error = self._goal - self.position
        drive = self._kp * error + self._kd * self._goal_velocity + self._feedforward
        resistance = dt * (self._kd + self._damping + dt * self._kp)
        velocity = (self._inertia * self.velocity + dt * drive) / (self._inertia + resistance)
        wanted = drive - (self._kp * dt + self._kd) * velocity
        self.torque = _within(wanted, -self.effort, self.effort)
        velocity = (self._inertia * self.velocity + dt * self.torque) / (
            self._inertia + dt * self._damping
        )
        velocity = _within(velocity, -self._velocity_max, self._velocity_max)
        moved = self.position + dt * velocity
        self.position = _within(moved, self._lower, self._upper)
        # A joint at its stop has stopped.
        self.velocity = np.where(self.position == moved, velocity, 0.0)


def _within(values: Float64, low: Float64, high: Float64) -> Float64:
    """`np.clip` without its checks, which cost more than the rest of a step."""
    clipped: Float64 = np.minimum(np.maximum(values, low), high)
    return clipped
