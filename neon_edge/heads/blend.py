"""Continuity where features change: what a swap adds to the setpoint is taken back over some ticks.

Whatever strategy plays, new features may want another pose than the tick before. The difference is
carried as an offset that fades along a minimum-jerk polynomial (Flash and Hogan, J. Neuroscience
5(7), 1985), continuous in position, velocity and acceleration over swaps that follow one another.
Between swaps nothing is delayed: what the joints change in the setpoint passes at once.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np
import numpy.typing as npt

from neon_edge.types import Features, Float32, Float64, JointState, Setpoint

Indices = npt.NDArray[np.intp]


class Inner(Protocol):
    """A strategy."""

    driven: Indices

    def setpoint(
        self, features: Features | None, joints: JointState, at_ns: int, tick: int
    ) -> Setpoint | None:
        """What it wants at tick number `tick`."""


def fading(ticks: int) -> Float64:
    """(ticks + 1, 3, 3): an offset's value, slope and curvature at each tick from those at tick 0.

    Slopes in units a tick; at the last tick all three are 0.
    """
    u = np.linspace(0.0, 1.0, ticks + 1)
    shapes = np.array([[1, 0, 0, -10, 15, -6], [0, 1, 0, -6, 8, -3], [0, 0, 0.5, -1.5, 1.5, -0.5]])
    shapes *= np.array([[1.0], [ticks], [ticks * ticks]])
    table = np.empty((ticks + 1, 3, 3))
    for order in range(3):
        values = np.zeros((len(u), 3))
        for coefficients in shapes.T[::-1]:
            values = values * u[:, None] + coefficients
        table[:, order] = values / float(ticks) ** order
        shapes = shapes[:, 1:] * np.arange(1, shapes.shape[1])
    return table


def weighed(weights: Float64, start: Float64) -> Float64:
    """(3,) @ (3, columns), rounded alike on every machine, which a BLAS does not promise."""
    total: Float64 = weights[0] * start[0] + weights[1] * start[1] + weights[2] * start[2]
    return total


class Blended:
    """Any strategy, without its jumps at swaps of features.

    A tick without a setpoint ends a blend, and so does a setpoint that is not finite, which passes
    as it is, for safety to see.
    """

    def __init__(self, heads: Inner, ticks: int, joints: int) -> None:
        self.inner = heads
        self.driven = heads.driven
        self._table = fading(ticks)
        self._joints = joints
        columns = joints + 3
        self._wanted: Float64 = np.zeros(columns)
        self._before: Float64 = np.zeros(columns)
        self._slope: Float64 = np.zeros(columns)
        self._start: Float64 = np.zeros((3, columns))
        self._out: Float32 = np.zeros(columns, dtype=np.float32)
        self._made_from_ns = 0
        self._known = 0
        """Setpoints in a row that went before."""
        self._passed = ticks

    def setpoint(
        self, features: Features | None, joints: JointState, at_ns: int, tick: int
    ) -> Setpoint | None:
        """What the strategy wants, and what is left of the jumps."""
        setpoint = self.inner.setpoint(features, joints, at_ns, tick)
        if setpoint is None:
            self._known = 0
            return setpoint
        wanted = self._wanted
        wanted[: self._joints] = setpoint.position
        wanted[self._joints :] = setpoint.base_velocity
        if not np.isfinite(wanted).all():
            self._known = 0
            return setpoint
        self._fade(setpoint.features_ns)
        left = weighed(self._table[self._passed, 0], self._start)
        np.add(wanted, left, out=self._out, casting="same_kind")
        return dataclasses.replace(
            setpoint, position=self._out[: self._joints], base_velocity=self._out[self._joints :]
        )

    def _fade(self, features_ns: int) -> None:
        last = len(self._table) - 1
        self._passed = min(self._passed + 1, last)
        if self._known == 0:
            self._start[:] = 0.0
        elif features_ns != self._made_from_ns:
            self._start = np.stack([weighed(row, self._start) for row in self._table[self._passed]])
            # As if the old features had gone on as in the tick before.
            self._start[0] += self._before + self._slope - self._wanted
            self._passed = 0
        if self._known and features_ns == self._made_from_ns:
            np.subtract(self._wanted, self._before, out=self._slope)
        elif self._known == 0:
            self._slope[:] = 0.0
        np.copyto(self._before, self._wanted)
        self._known += 1
        self._made_from_ns = features_ns
