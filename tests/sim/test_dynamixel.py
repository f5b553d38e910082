"""Emulated servos on a line, packet by packet, on a clock that the test moves."""

import math
import struct

import numpy as np
import pytest

from neon_edge.config import DynamixelMotor, Joint, SerialBus
from neon_edge.sim.dynamics import Dynamics, Mechanics
from neon_edge.sim.dynamixel import EmulatedDynamixel
from neon_edge.sim.dynamixel_line import DynamixelMotors
from neon_edge.sim.line import Line
from neon_edge.transport.protocol import dynamixel
from neon_edge.transport.protocol import dynamixel_table as table
from neon_edge.transport.protocol.dynamixel import Failure, Reading
from neon_edge.transport.protocol.dynamixel_stream import StreamParser

MS = 1_000_000


class Bench:
    """Two servos, ids 1 and 2."""

    def __init__(self) -> None:
        mechanics = Mechanics(0.05, 0.05, -3.0, 3.0, 20.0, 4.0)
        self.dynamics = Dynamics([mechanics] * 2, np.zeros(2), 0)
        self.servos = []
        for axis in range(2):
            motor = DynamixelMotor(id=axis + 1)
            joint = Joint(f"j{axis}", "line", motor, -3.0, 3.0, 20.0, 4.0, kp=20.0, kd=2.0)
            self.servos.append(EmulatedDynamixel(joint, motor, self.dynamics, axis))
        self.motors = DynamixelMotors(SerialBus("line", "sim"), self.servos, self.dynamics)

    def tell(self, packet: bytes, at_ms: int = 0) -> list[Reading]:
        raw = b"".join(reply.raw for reply in self.motors.hear(packet, at_ms * MS))
        return [dynamixel.split_status(p) for p in StreamParser().feed(raw)]

    def put(self, servo: int, address: int, *values: int, at_ms: int = 0) -> int:
        (reading,) = self.tell(dynamixel.write(servo, address, bytes(values)), at_ms)
        return reading.error

    def goals(self, counts: tuple[int, int], at_ms: int) -> None:
        entries = [(servo, struct.pack("<i", c)) for servo, c in zip((1, 2), counts, strict=True)]
        self.tell(dynamixel.sync_write(table.GOAL_POSITION, 4, entries), at_ms)

    def counts(self, at_ms: int) -> list[int]:
        replies = self.tell(dynamixel.sync_read(table.PRESENT, 10, [1, 2]), at_ms)
        return [table.decode_present(reading.values)[2] for reading in replies]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_ping_tells_model_and_firmware(bench: Bench) -> None:
    readings = bench.tell(dynamixel.ping())
    assert [reading.servo for reading in readings] == [1, 2]
    assert struct.unpack("<HB", readings[0].values) == (1020, 45)


def test_goals_move_a_servo_only_with_torque_on(bench: Bench) -> None:
    bench.goals((2500, 2500), 0)
    assert bench.counts(500) == [2048, 2048]
    assert bench.put(1, table.TORQUE_ENABLE, 1, at_ms=500) == Failure.NONE
    assert bench.counts(1400)[0] == pytest.approx(2500, abs=3)
    assert bench.counts(1400)[1] == 2048
    assert [servo.commands_received for servo in bench.servos] == [1, 1]


def test_a_packet_with_a_bad_crc_moves_and_answers_nothing(bench: Bench) -> None:
    bench.put(1, table.TORQUE_ENABLE, 1)
    bench.goals((2048, 2048), 0)
    packet = bytearray(dynamixel.write(1, table.GOAL_POSITION, struct.pack("<i", 2500)))
    packet[-1] ^= 0x10
    assert bench.tell(bytes(packet), 10) == []
    assert bench.counts(500)[0] == 2048
    assert bench.servos[0].commands_received == 1
    assert bench.motors.parser.crc_errors == 1


def test_the_watchdog_trips_on_silence_latches_and_is_cleared_with_0(bench: Bench) -> None:
    bench.put(1, table.TORQUE_ENABLE, 1)
    bench.put(1, table.BUS_WATCHDOG, 5)
    for at_ms in range(0, 100, 20):
        bench.goals((3000, 2048), at_ms)
    bench.motors.watch(180 * MS)
    assert not bench.servos[0].tripped
    bench.dynamics.advance(181 * MS)
    bench.motors.watch(181 * MS)
    assert bench.servos[0].tripped
    stopped = bench.counts(182)[0]
    assert 2048 < stopped < 3000
    bench.goals((3000, 2048), 190)
    assert bench.counts(900)[0] == pytest.approx(stopped, abs=60)
    (refused,) = bench.tell(dynamixel.write(1, table.GOAL_POSITION, struct.pack("<i", 3000)), 910)
    assert refused.error == Failure.RANGE
    assert bench.tell(dynamixel.read(1, table.BUS_WATCHDOG, 1), 920)[0].values == b"\xff"
    assert bench.put(1, table.BUS_WATCHDOG, 0, at_ms=930) == Failure.NONE
    bench.goals((3000, 2048), 940)
    assert bench.counts(1900)[0] == pytest.approx(3000, abs=3)


def test_any_instruction_on_the_bus_feeds_every_watchdog(bench: Bench) -> None:
    bench.put(1, table.BUS_WATCHDOG, 5)
    for at_ms in range(0, 1000, 90):
        bench.tell(dynamixel.ping(2), at_ms)
    assert not bench.servos[0].tripped


@pytest.mark.parametrize(
    ("address", "values", "failure"),
    [
        (table.MODEL_NUMBER, (1,), Failure.ACCESS),
        (table.PRESENT, (1,), Failure.ACCESS),
        (table.HARDWARE_ERROR, (0,), Failure.ACCESS),
        (table.TORQUE_ENABLE, (2,), Failure.RANGE),
        (table.BUS_WATCHDOG, (128,), Failure.RANGE),
        (table.GOAL_POSITION, (0, 16, 0, 0), Failure.LIMIT),
        (table.GOAL_POSITION, (255, 255, 255, 255), Failure.LIMIT),
        (table.GOAL_CURRENT, (255, 127), Failure.LIMIT),
        (400, (0,), Failure.LENGTH),
    ],
)
def test_writes_that_a_servo_refuses(
    bench: Bench, address: int, values: tuple[int, ...], failure: Failure
) -> None:
    assert bench.put(1, address, *values) == failure
    assert bench.servos[0].commands_received == 0


def test_eeprom_is_locked_while_torque_is_on(bench: Bench) -> None:
    assert bench.put(1, table.RETURN_DELAY, 0) == Failure.NONE
    bench.put(1, table.TORQUE_ENABLE, 1)
    assert bench.put(1, table.RETURN_DELAY, 10) == Failure.ACCESS


def test_the_goal_current_limits_torque(bench: Bench) -> None:
    bench.put(1, table.OPERATING_MODE, table.CURRENT_BASED_POSITION)
    bench.put(1, table.GOAL_CURRENT, 10, 0)
    bench.put(1, table.TORQUE_ENABLE, 1)
    bench.goals((4000, 2048), 0)
    bench.counts(100)
    assert bench.dynamics.torque[0] == pytest.approx(10 * 0.00479)


def test_a_fast_sync_read_says_the_same_as_a_sync_read(bench: Bench) -> None:
    slow = bench.tell(dynamixel.sync_read(table.PRESENT, 10, [2, 1]))
    (reply,) = bench.motors.hear(dynamixel.fast_sync_read(table.PRESENT, 10, [2, 1]), 0)
    (packet,) = StreamParser().feed(reply.raw)
    assert dynamixel.split_fast_status(packet, 10) == slow


def test_nobody_speaks_after_a_servo_that_is_not_there(bench: Bench) -> None:
    readings = bench.tell(dynamixel.sync_read(table.PRESENT, 10, [1, 9, 2]))
    assert [reading.servo for reading in readings] == [1]
    assert bench.motors.hear(dynamixel.fast_sync_read(table.PRESENT, 10, [1, 9, 2]), 0) == []


@pytest.mark.parametrize("body", [b"", b"\x00", b"\x74\x00\x04\x00\x01"])
def test_malformed_instructions_do_no_harm(bench: Bench, body: bytes) -> None:
    for instruction in (*dynamixel.Instruction, 0x77):
        for servo in (1, dynamixel.BROADCAST):
            bench.tell(dynamixel.encode(servo, instruction, body))


def test_a_reply_is_not_before_its_bytes_could_have_arrived(bench: Bench) -> None:
    line = Line(bench.motors)
    request = dynamixel.ping(1)
    line.put(request, 0)
    byte_ns = 10_000
    asked_ns = len(request) * byte_ns
    assert line.next_due_ns == asked_ns
    assert line.run(asked_ns) == []
    # The factory's Return Delay Time is 500 µs; then 14 bytes at 1 Mbaud.
    answered_ns = asked_ns + 500_000 + 14 * byte_ns
    assert line.next_due_ns == answered_ns
    assert line.run(answered_ns - 1) == []
    assert len(line.run(answered_ns)) == 1
    assert line.next_due_ns is None


def test_zero_velocity_and_torque_read_as_zero(bench: Bench) -> None:
    reading = bench.tell(dynamixel.read(1, table.PRESENT, 10))[0]
    assert table.decode_present(reading.values) == (0, 0, 2048)
    assert math.isclose(table.position_from_count(2048, 4096), 0.0)
