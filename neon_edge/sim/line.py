"""The time that bytes take on a wire: one line for both directions, first come first sent."""

from __future__ import annotations

import heapq
from typing import NamedTuple

from neon_edge.sim.faults import FaultyWire
from neon_edge.sim.motors import Motors, Reply


class Passage(NamedTuple):
    """Bytes that have wholly passed at `due_ns`."""

    due_ns: int
    order: int
    inbound: bool
    raw: bytes


class Line:
    """What is on its way to the motors, and from them."""

    def __init__(self, motors: Motors, faults: FaultyWire | None = None) -> None:
        self._motors = motors
        self.faults = faults
        """What goes wrong on it."""
        self._passing: list[Passage] = []
        self._free_ns = 0
        self._order = 0

    @property
    def next_due_ns(self) -> int | None:
        """When the next bytes have passed; None while the line is quiet."""
        return self._passing[0].due_ns if self._passing else None

    def put(self, raw: bytes, now_ns: int) -> None:
        """Bytes from the host, sent at `now_ns`."""
        self._pass(raw, max(now_ns, self._free_ns), inbound=True)

    def speak(self, now_ns: int) -> None:
        """Let the motors say what they say unasked."""
        for reply in self._motors.speak(now_ns):
            self._return(reply, max(now_ns, self._free_ns))

    def run(self, now_ns: int) -> list[bytes]:
        """Let everything due pass; give what has arrived at the host."""
        arrived = []
        gone = self.faults.report(now_ns) if self.faults else None
        if gone is not None:
            arrived.append(gone)
        while self._passing and self._passing[0].due_ns <= now_ns:
            passage = heapq.heappop(self._passing)
            if not passage.inbound:
                arrived.append(passage.raw)
                continue
            for reply in self._motors.hear(passage.raw, passage.due_ns):
                self._return(reply, max(passage.due_ns, self._free_ns))
        return arrived

    def _return(self, reply: Reply, free_ns: int) -> None:
        self._pass(reply.raw, free_ns + reply.delay_ns, inbound=False, dawdle_ns=reply.late_ns)

    def _pass(self, raw: bytes, start_ns: int, *, inbound: bool, dawdle_ns: int = 0) -> None:
        self._free_ns = start_ns + self._motors.wire_ns(raw)
        passing = [(0, raw)]
        if self.faults is not None:
            passing = self.faults.mistreat(raw, start_ns, inbound=inbound)
        for late_ns, piece in passing:
            self._order += 1
            due_ns = self._free_ns + late_ns + dawdle_ns
            passage = Passage(due_ns, self._order, inbound, piece)
            heapq.heappush(self._passing, passage)
