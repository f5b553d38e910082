"""One question a tick beside the states, to one servo after the other: is it still on and guarded?

A servo that lost its power is limp, with its guards at what the factory gave it, and neither its
state nor a goal that it ignores says so. The question goes out as a tick begins, when the line is
quiet, and `write` lets the answer pass before it speaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from neon_edge.clock import Clock
from neon_edge.transport.bus import Bus
from neon_edge.transport.chain import Places
from neon_edge.types import BusFrame

DOUBT_TICKS = 2
LIMP = 0xFE
"""Fault: a servo was found without the torque or the guards that it was given."""


class Look(NamedTuple):
    """What to ask the servo at `place`: so many bytes of its table, and what must stand there."""

    place: int
    servo: int
    question: bytes
    length: int
    wanted: tuple[tuple[int, bytes], ...]
    """Place among those bytes, and what it holds on a servo that is well."""
    fault: int = LIMP


class Rounds:
    """Goes round `looks`, of which the first tell of each servo whether it is on, by place.

    An answer may take `turn_ns`, question included.
    """

    def __init__(self, bus: Bus, clock: Clock, looks: Sequence[Look], turn_ns: int) -> None:
        self._bus = bus
        self._clock = clock
        self._looks = looks
        self._turn_ns = turn_ns
        self._next = 0
        self._pending: Look | None = None
        self._unanswered: Places = np.zeros(len({look.place for look in looks}), np.intp)
        self._doubted: set[int] = set()
        self._suspect: Look | None = None
        self.quiet_ns = 0
        """When the line is quiet again, answered or not."""

    def forget(self) -> None:
        """All are well: they have just been enabled."""
        self._unanswered[:] = 0
        self._doubted.clear()
        self._pending = self._suspect = None

    def doubt(self, awaited: npt.NDArray[np.bool_]) -> None:
        """Once a tick, who has not answered (n,): after twice in a row it is looked at first."""
        if not awaited.any():
            self._unanswered[:] = 0
            return
        self._unanswered += 1
        self._unanswered *= awaited
        self._doubted.update(np.flatnonzero(self._unanswered >= DOUBT_TICKS).tolist())

    def suspect(self, place: int) -> None:
        """It complains: it is looked at next."""
        self._doubted.add(place)

    def ask(self) -> None:
        """The next question. Nothing else may be on the line."""
        if self._suspect is not None:
            look = self._suspect
        elif self._doubted:
            place = min(self._doubted)
            self._doubted.remove(place)
            look = self._looks[place]
        else:
            look = self._looks[self._next]
            self._next = (self._next + 1) % len(self._looks)
        self._pending = look
        self._bus.send([BusFrame(0, look.question)])
        self.quiet_ns = self._clock.now_ns() + self._turn_ns

    def answer(self, servo: int, values: bytes) -> Look | None:
        """The question that this answers, or None where it answers another."""
        look = self._pending
        if look is None or (servo, len(values)) != (look.servo, look.length):
            return None
        self._pending = None
        return look

    def lost(self, look: Look, values: bytes) -> bool:
        """Whether a servo that holds `values` is not as it was armed, as it has said twice.

        Once is not enough: a check of eight bits lets one damaged answer in 256 through.
        """
        suspected = self._suspect is look
        well = all(values[at : at + len(wanted)] == wanted for at, wanted in look.wanted)
        self._suspect = None if well or suspected else look
        return suspected and not well
