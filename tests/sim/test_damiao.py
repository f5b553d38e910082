"""An emulated Damiao motor, frame by frame, on a clock that the test moves."""

import numpy as np
import pytest

from neon_edge.config import DamiaoMotor
from neon_edge.sim.damiao import EmulatedDamiao
from neon_edge.sim.dynamics import Dynamics, Mechanics
from neon_edge.transport.protocol import damiao
from neon_edge.transport.protocol.damiao import Command, Condition, Feedback, Ranges, Register
from neon_edge.types import BusFrame

MS = 1_000_000
RANGES = Ranges(12.5, 30.0, 10.0)
GO = damiao.encode_command(RANGES, Command(1.0, 0.0, 20.0, 1.0, 0.0))


class Bench:
    def __init__(self) -> None:
        mechanics = Mechanics(0.0125, 0.01, -2.0, 2.0, 20.0, 10.0)
        self.dynamics = Dynamics([mechanics], np.zeros(1), 0)
        self.motor = EmulatedDamiao(DamiaoMotor(id=3, feedback_id=0x13), self.dynamics, 0)

    def ask(self, payload: bytes, at_ms: int, arbitration_id: int = 3) -> Feedback:
        (answer,) = self.motor.answer(BusFrame(arbitration_id, payload), at_ms * MS)
        assert answer.arbitration_id == 0x13
        return damiao.decode_feedback(RANGES, answer.payload)

    def register(self, payload: bytes) -> float:
        (answer,) = self.motor.answer(BusFrame(damiao.REGISTER_ID, payload), 0)
        frame = damiao.decode_register(answer.payload)
        assert frame is not None
        return damiao.unpack_register(frame.register, frame.value)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_disabled_motor_answers_counts_and_does_not_move(bench: Bench) -> None:
    bench.ask(GO, 0)
    feedback = bench.ask(GO, 500)
    assert feedback.condition == Condition.DISABLED
    assert feedback.position == pytest.approx(0.0, abs=1e-3)
    assert bench.motor.commands_received == 2


def test_an_enabled_motor_reaches_its_goal(bench: Bench) -> None:
    assert bench.ask(damiao.ENABLE, 0).condition == Condition.ENABLED
    bench.ask(GO, 1)
    feedback = bench.ask(GO, 900)
    assert feedback.condition == Condition.ENABLED
    assert feedback.position == pytest.approx(1.0, abs=0.02)


def test_the_watchdog_trips_latches_and_needs_clear_and_enable(bench: Bench) -> None:
    assert bench.register(damiao.write_register(3, Register.TIMEOUT, 2000)) == 2000
    bench.ask(damiao.ENABLE, 0)
    for at_ms in range(0, 300, 20):
        assert bench.ask(GO, at_ms).condition == Condition.ENABLED
    bench.motor.watch(381 * MS)
    assert bench.motor.condition == Condition.LOST_COMMUNICATION
    bench.dynamics.advance(390 * MS)
    assert bench.dynamics.torque[0] == 0.0
    assert bench.ask(GO, 400).condition == Condition.LOST_COMMUNICATION
    assert bench.ask(damiao.ENABLE, 410).condition == Condition.LOST_COMMUNICATION
    assert bench.ask(damiao.CLEAR_ERROR, 420).condition == Condition.DISABLED
    assert bench.ask(damiao.ENABLE, 430).condition == Condition.ENABLED


def test_just_inside_the_timeout_it_holds(bench: Bench) -> None:
    bench.register(damiao.write_register(3, Register.TIMEOUT, 2000))
    bench.ask(damiao.ENABLE, 0)
    assert bench.ask(GO, 100).condition == Condition.ENABLED


def test_asking_for_state_does_not_feed_the_watchdog(bench: Bench) -> None:
    bench.register(damiao.write_register(3, Register.TIMEOUT, 2000))
    bench.ask(damiao.ENABLE, 0)
    for at_ms in range(20, 220, 20):
        feedback = bench.ask(damiao.refresh(3), at_ms, damiao.REGISTER_ID)
    assert feedback.condition == Condition.LOST_COMMUNICATION


@pytest.mark.parametrize(
    "frame",
    [
        BusFrame(4, GO),
        BusFrame(3, GO[:7]),
        BusFrame(3, b""),
        BusFrame(3, GO, extended=True),
        BusFrame(damiao.REGISTER_ID, damiao.read_register(4, Register.MODE)),
        BusFrame(damiao.REGISTER_ID, damiao.read_register(3, 200)),
    ],
)
def test_frames_for_others_or_without_sense_move_and_answer_nothing(
    bench: Bench, frame: BusFrame
) -> None:
    bench.ask(damiao.ENABLE, 0)
    assert bench.motor.answer(frame, 10 * MS) == []
    bench.dynamics.advance(500 * MS)
    assert bench.dynamics.position[0] == 0.0
    assert bench.motor.commands_received == 0


def test_registers_hold_what_the_motor_is(bench: Bench) -> None:
    for register, value in (
        (Register.MASTER_ID, 0x13),
        (Register.MOTOR_ID, 3),
        (Register.MODE, 1),
        (Register.POSITION_MAX, 12.5),
        (Register.VELOCITY_MAX, 30.0),
        (Register.TORQUE_MAX, 10.0),
    ):
        assert bench.register(damiao.read_register(3, register)) == value
