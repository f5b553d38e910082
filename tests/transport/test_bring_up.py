"""Bring-up on a line with rubbish, or one that loses a frame: no traceback, no false alarm."""

from __future__ import annotations

from collections.abc import Callable
from unittest import mock

import pytest

from neon_edge.transport.protocol import damiao, moteus
from neon_edge.transport.protocol.damiao import Condition
from neon_edge.types import BusFrame
from tests.transport.families import robot_of
from tests.transport.inline import InlineBus, inline_robot

CAN_FAMILIES = ("damiao", "robstride", "odrive", "moteus", "cia402")
COMPLAINT = bytes((0x31, 0x20, 0x07))
"""A moteus': error 7 at register 0x20."""


@pytest.mark.parametrize("family", CAN_FAMILIES)
def test_answers_cut_short_and_complaints_are_no_answers(family: str) -> None:
    answer = InlineBus._answer

    def rubbish(bus: InlineBus, raw: bytes) -> None:
        answer(bus, raw)
        whole = bus._waiting.pop()
        lengths = range(len(whole.payload)) if family != "moteus" else (0, 1, 3, 7)
        bus._waiting += [whole._replace(payload=whole.payload[:n]) for n in lengths]
        if family == "moteus":
            bus._waiting.append(moteus.frame(whole.arbitration_id, COMPLAINT))
        bus._waiting.append(whole)

    with (
        mock.patch.object(InlineBus, "_answer", rubbish),
        inline_robot(robot_of(family), (0.2, -0.3, 0.4)) as inline,
    ):
        pose = inline.robot.enable()
        assert pose == pytest.approx([0.2, -0.3, 0.4], abs=0.01)


def losing(nth: int, wanted: Callable[[BusFrame], bool]) -> Callable[..., int]:
    """`InlineBus.send`, but for the nth frame of a kind."""
    send, seen = InlineBus.send, [0]

    def lossy(bus: InlineBus, frames: list[BusFrame]) -> int:
        kept = []
        for frame in frames:
            seen[0] += wanted(frame)
            if not (wanted(frame) and seen[0] == nth):
                kept.append(frame)
        send(bus, kept)
        return len(frames)

    return lossy


@pytest.mark.parametrize("nth", [1, 2, 5])
def test_a_lost_register_write_is_repeated_and_no_fault_of_the_robot_file(nth: int) -> None:
    def writes(frame: BusFrame) -> bool:
        return frame.arbitration_id == damiao.REGISTER_ID and frame.payload[2] == 0x55

    with (
        mock.patch.object(InlineBus, "send", losing(nth, writes)),
        inline_robot(robot_of("damiao")) as inline,
    ):
        inline.robot.enable()


def test_a_damiao_motor_that_was_left_on_is_off_from_the_start() -> None:
    config = robot_of("damiao", watchdog_ms=0)
    with inline_robot(config) as first:
        motor = first.body.motors[1]
        motor.condition = Condition.ENABLED  # type: ignore[attr-defined]
        with inline_robot(config, again=first):
            assert motor.condition == Condition.DISABLED  # type: ignore[attr-defined]
