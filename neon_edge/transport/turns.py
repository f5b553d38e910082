"""One question after the other on a half-duplex line, for motors that would answer all at once."""

from __future__ import annotations

import select
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from neon_edge.clock import Clock
from neon_edge.errors import ConfigWrong, DeviceMissing
from neon_edge.transport.bus import Bus
from neon_edge.transport.chain import Placed
from neon_edge.transport.protocol.stream import PacketStream
from neon_edge.transport.serial import SerialLine
from neon_edge.types import BusFrame

P = TypeVar("P")

SLACK_NS = 400_000
"""What a turn may take beyond its bytes: the motor's own pause, and the adapter's."""
TURNS_SHARE = 0.3
"""Of a tick, for all turns of all lines where answers stay away; then commands go out at once."""
REPLY_NS = 100_000_000
TRIES = 3


class TurnLine(Generic[P]):
    """A serial line, the packets on it, and what has been heard but not yet taken.

    `turn_bits_ns` is how long a question and its answer occupy the line.
    """

    def __init__(self, bus: Bus, stream: PacketStream[P], clock: Clock, turn_bits_ns: int) -> None:
        self._turn_ns = turn_bits_ns + SLACK_NS
        self.bus = bus
        self.stream = stream
        self._clock = clock
        self._heard: list[tuple[P, int]] = []
        self._questions: Sequence[bytes] = ()
        self._asked = self._before = 0
        self.until_ns = 0
        """When the turn under way is over, answered or not."""
        self.descriptor = bus.fileno() if isinstance(bus, SerialLine) else None
        """What to poll for an answer; None for a bus that only waits by itself."""

    def take(self) -> list[tuple[P, int]]:
        """Every packet since the last call, a tick ago, with when it was read."""
        self._pump(self.bus.receive_ready())
        now_ns = self._clock.now_ns()
        self._heard += [(packet, now_ns) for packet in self.stream.settle()]
        heard, self._heard = self._heard, []
        self.bus.counters.crc_errors = self.stream.crc_errors
        return heard

    def in_turn(self, questions: Sequence[bytes]) -> None:
        """Ask these one after the other: the first by the next `step`.

        Answers come out of `take`, late ones at the next tick.
        """
        self._questions, self._asked = questions, 0
        self._before = len(self._heard)

    def step(self, last_ns: int) -> bool:
        """Send what may be sent now; whether a question must still wait for its turn.

        A turn is over when its answer is in, or when it has left the line; from `last_ns` on nobody
        waits. Nor does anybody for the last answer: the next tick finds it.
        """
        if self._asked < len(self._questions):
            self.listen()
        while self._asked < len(self._questions):
            now_ns = self._clock.now_ns()
            if len(self._heard) == self._before and now_ns < self.until_ns:
                return True
            self._before = len(self._heard)
            self.bus.send([BusFrame(0, self._questions[self._asked])])
            self._asked += 1
            self.until_ns = min(self._clock.now_ns() + self._turn_ns, last_ns)
        return False

    def listen(self, until_ns: int = 0) -> None:
        """Take in what is there, waiting for it until `until_ns` at most."""
        self._pump(self.bus.receive_until(until_ns) if until_ns else self.bus.receive_ready())

    def let_pass(self, until_ns: int) -> None:
        """Wait until something has been heard since `take`, at most until `until_ns`."""
        while not self._heard and self._clock.now_ns() < until_ns:
            self._pump(self.bus.receive_until(until_ns))

    def ask(self, question: bytes, placed: Placed) -> P:
        """Bring-up: the next packet after a question, again where none comes.

        Raises `DeviceMissing`.
        """
        for _ in range(TRIES):
            self.bus.receive_ready()
            self.stream.forget()
            self._heard.clear()
            self.bus.send([BusFrame(0, question)])
            deadline_ns = self._clock.now_ns() + REPLY_NS
            while not self._heard and self._clock.now_ns() < deadline_ns:
                self._pump(self.bus.receive_until(deadline_ns))
            if self._heard:
                return self._heard.pop(0)[0]
        raise DeviceMissing(
            f"joint {placed.joint.name!r} does not answer",
            f"motor {placed.joint.motor.id} on bus {self.bus.name!r}",
            "check its power, its cable, its id and the baud",
        )

    def compare(self, placed: Placed, what: str, stated: float, found: float) -> None:
        """Raises `ConfigWrong` with both sides where the motor is not as the robot file says."""
        if stated != found:
            raise ConfigWrong(
                f"joint {placed.joint.name!r}: {what} is not the robot file's",
                f"robot file {stated}, motor {placed.joint.motor.id} on bus {self.bus.name!r} "
                f"says {found}",
                "correct the robot file, or configure the motor",
            )

    def _pump(self, frames: Sequence[BusFrame]) -> None:
        if frames:
            now_ns = self._clock.now_ns()
            for frame in frames:
                self._heard += [(packet, now_ns) for packet in self.stream.feed(frame.payload)]


def wait_for_any(lines: Sequence[TurnLine[Any]], clock: Clock) -> None:
    """Until one of them has something, or the first turn among theirs is over."""
    until_ns = min(line.until_ns for line in lines)
    left_ns = until_ns - clock.now_ns()
    descriptors = [line.descriptor for line in lines if line.descriptor is not None]
    if len(descriptors) < len(lines):
        lines[0].listen(until_ns)
    elif left_ns > 0:
        select.select(descriptors, [], [], left_ns / 1e9)


def line_ns(count: int, baud: int) -> int:
    """How long so many bytes occupy a line, ten bits each."""
    return count * 10 * 1_000_000_000 // baud
