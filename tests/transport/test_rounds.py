"""The question that goes round the servos: in turn, the silent first, believed when said twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neon_edge.clock import FakeClock
from neon_edge.sim.body import Body
from neon_edge.transport.rounds import Look, Rounds
from neon_edge.types import BusFrame
from tests.transport.families import robot_of
from tests.transport.inline import InlineBus

N = 3
TURN_NS = 500_000


class Heard(InlineBus):
    """Keeps what is asked."""

    def __init__(self) -> None:
        config, clock = robot_of("feetech"), FakeClock()
        body = Body(config, clock.now_ns())
        super().__init__(config.buses[0], body.buses["line"], clock)
        self.asked: list[bytes] = []

    def send(self, frames: Sequence[BusFrame]) -> int:
        self.asked += [frame.payload for frame in frames]
        return len(frames)


def rounds() -> tuple[Rounds, Heard, list[Look]]:
    looks = [Look(k, k + 1, bytes((k,)), 1, ((0, b"\1"),)) for k in range(N)]
    bus = Heard()
    return Rounds(bus, FakeClock(), looks, TURN_NS), bus, looks


def test_every_servo_has_its_turn() -> None:
    made, bus, _ = rounds()
    for _ in range(2 * N):
        made.ask()
    assert b"".join(bus.asked) == bytes((0, 1, 2, 0, 1, 2))


def test_one_that_was_silent_twice_is_asked_first() -> None:
    made, bus, _ = rounds()
    silent = np.array([False, False, True])
    made.doubt(silent)
    made.doubt(~silent)  # once is no silence
    made.ask()
    made.doubt(silent)
    made.doubt(silent)
    made.ask()
    made.ask()
    assert b"".join(bus.asked) == bytes((0, 2, 1))


def test_a_servo_is_lost_when_it_has_said_so_twice() -> None:
    made, bus, looks = rounds()
    for said, lost in ((b"\0", False), (b"\1", False), (b"\0", False), (b"\0", True)):
        made.ask()
        look = made.answer(1, said)
        assert look is looks[0]
        assert made.lost(look, said) is lost
        if said == b"\1":
            for servo in (2, 3):
                made.ask()
                assert made.answer(servo, b"\1") is looks[servo - 1]
    assert b"".join(bus.asked) == bytes((0, 0, 1, 2, 0, 0))


def test_an_answer_is_one_only_to_the_question_that_was_asked() -> None:
    made, _, looks = rounds()
    assert made.answer(1, b"\1") is None
    made.ask()
    assert made.answer(2, b"\1") is None
    assert made.answer(1, b"\1\1") is None
    assert made.answer(1, b"\1") is looks[0]
    assert made.answer(1, b"\1") is None
