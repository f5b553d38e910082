"""What speaks against moving, gathered once a tick from the transport and the stop input."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from neon_edge.transport.chain import JointCounters
from neon_edge.transport.imu import ImuLink
from neon_edge.types import Health, Int64

STOP_CLEAR = 0x01
"""Anything else, a file cut short or a flag never set included, is a stop: loss means stop."""


def create_stop_flag(path: Path, pressed: bool = False) -> None:
    """A stop input. The caller owns the file."""
    path.write_bytes(bytes((0 if pressed else STOP_CLEAR,)))


def press_stop(path: Path, pressed: bool) -> None:
    """Press or release it from any process."""
    with path.open("r+b") as file:
        file.write(bytes((0 if pressed else STOP_CLEAR,)))


def is_pressed(path: Path) -> bool:
    """Whether it is pressed, or lost."""
    try:
        return path.read_bytes()[:1] != bytes((STOP_CLEAR,))
    except OSError:
        return True


class StopFlag:
    """The stop input as the control loop reads it: one byte of a mapped file, no system call."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 1, access=mmap.ACCESS_READ)

    @property
    def pressed(self) -> bool:
        """Whether the robot must stop now."""
        return self._map[0] != STOP_CLEAR


class Pressable(Protocol):
    """Something that may stop the robot."""

    @property
    def pressed(self) -> bool:
        """Whether it must stop now."""


class HealthWatch:
    """Counters of the transport → one `Health`, over a sliding window of ticks.

    `stops` are all that may stop the robot: each is looked at, every time. `sensors_ns` is whoever
    hears live sensors' own.
    """

    def __init__(
        self,
        counters: JointCounters,
        stops: Sequence[Pressable],
        window: int,
        imu: ImuLink | None = None,
        sensors_ns: Int64 | None = None,
    ) -> None:
        self.imu = imu
        """What tells how the base leans, if anything does."""
        self._counters = counters
        self._stops = stops
        self._missing = np.zeros(window, dtype=np.int64)
        self._asked = np.zeros(window, dtype=np.int64)
        self._place = 0
        self._health = Health()
        if sensors_ns is not None:
            self._health.sensors_ns = sensors_ns

    def now(self) -> Health:
        """Look once; the result is overwritten by the next look."""
        counters, place = self._counters, self._place
        missing, asked = int(counters.missing.sum()), int(counters.sent.sum())
        missed_since = missing - int(self._missing[place])
        asked_since = asked - int(self._asked[place])
        self._missing[place], self._asked[place] = missing, asked
        self._place = (place + 1) % len(self._missing)
        health = self._health
        health.bus_missing = missed_since / asked_since if asked_since > 0 else 0.0
        faulty = int(counters.faults.argmax())
        health.faulty_joint = faulty if counters.faults[faulty] else -1
        health.stop_pressed = self.stop_pressed
        if self.imu is not None:
            self.imu.read(health)
        return health

    @property
    def stop_pressed(self) -> bool:
        """Whether any stop is pressed now."""
        return any([stop.pressed for stop in self._stops])
