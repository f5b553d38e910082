"""Finding Dynamixel servos on a line and making sure that they are what the robot file says."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import NamedTuple

from neon_edge.clock import Clock
from neon_edge.config import DynamixelMotor, Joint
from neon_edge.errors import ConfigWrong, DeviceMissing
from neon_edge.transport.bus import Bus
from neon_edge.transport.identity import check_firmware
from neon_edge.transport.protocol import dynamixel
from neon_edge.transport.protocol import dynamixel_table as table
from neon_edge.transport.protocol.dynamixel import Instruction, Reading
from neon_edge.transport.protocol.dynamixel_stream import StreamParser
from neon_edge.types import BusFrame

REPLY_NS = 100_000_000
PING_BYTES = 3
"""Of a ping's answer: model number and firmware version."""
TRIES = 3
SETTLE_NS = 20_000_000
_WIDTHS = {1: "<B", 2: "<H", 4: "<I"}


class Bound(NamedTuple):
    """What keeps a servo within an effort: operating mode, the goal's address and its limit's."""

    mode: int
    goal: int
    limit: int


BOUNDS = {
    "current": Bound(table.CURRENT_BASED_POSITION, table.GOAL_CURRENT, table.CURRENT_LIMIT),
    "pwm": Bound(table.POSITION, table.GOAL_PWM, table.PWM_LIMIT),
}


class Servo(NamedTuple):
    """A servo and the joint that it moves."""

    joint: Joint
    motor: DynamixelMotor

    @property
    def bound(self) -> Bound:
        """What keeps it within the joint's effort."""
        return BOUNDS[self.motor.torque_by]

    @property
    def torque_unit(self) -> float:
        """N·m a count of what it reports: current, or load in thousandths of full PWM."""
        unit = self.motor.torque_per_count
        return unit if self.motor.torque_by == "current" else unit / table.LOAD_PER_PWM


class DynamixelSetup:
    """Questions to one servo at a time, waiting for the answer."""

    def __init__(self, bus: Bus, parser: StreamParser, clock: Clock, *, fast: bool = False) -> None:
        self._bus = bus
        self._fast = fast
        self._parser = parser
        self._clock = clock

    def identify(self, servo: Servo) -> str:
        """Compare a servo with the robot file, make it answer at once, and set its mode.

        Gives what it says of itself.

        Takes its torque off: the control table's first part can be written only so.
        """
        answer = self._ask(servo, dynamixel.ping(servo.motor.id), PING_BYTES)
        model, firmware = struct.unpack("<HB", answer)
        self._compare(servo, "model number", servo.motor.model, model)
        self._check_firmware(servo, firmware)
        for what, address, width, stated in (
            ("drive mode (10)", table.DRIVE_MODE, 1, servo.motor.drive_mode),
            ("homing offset (20)", table.HOMING_OFFSET, 4, servo.motor.homing_offset & 0xFFFFFFFF),
        ):
            self._compare(servo, what, stated, self.get(servo, address, width))
        # A servo that does not confirm writes could refuse them in silence. Whether it answers
        # this one depends on how it stood; the next question waits out a late answer.
        self._send(dynamixel.write(servo.motor.id, table.STATUS_RETURN, b"\x02"))
        self._heard(self._clock.now_ns() + SETTLE_NS)
        self.put(servo, table.BUS_WATCHDOG, 0, 1)
        self.put(servo, table.TORQUE_ENABLE, 0, 1)
        # EEPROM wears: write only what differs.
        for address, wanted in (
            (table.RETURN_DELAY, 0),
            (table.OPERATING_MODE, servo.bound.mode),
        ):
            if self.get(servo, address, 1) != wanted:
                self.put(servo, address, wanted, 1)
        self._check_travel(servo)
        self._check_effort(servo)
        return f"model {model}, firmware {firmware}"

    def _check_firmware(self, servo: Servo, found: int) -> None:
        check_firmware(servo.joint, self._bus.name, servo.motor.firmware, str(found))
        for needs, first, key in (
            (servo.motor.watchdog_ms > 0, table.WATCHDOG_FIRMWARE, "watchdog_ms = 0"),
            (self._fast, table.FAST_SYNC_FIRMWARE, "fast_sync_read = false"),
        ):
            if needs and found < first:
                raise ConfigWrong(
                    f"joint {servo.joint.name!r}: its servo's firmware is too old",
                    f"servo {servo.motor.id} on bus {self._bus.name!r} says {found}, the robot "
                    f"file needs {first} or later",
                    f"update it with Dynamixel Wizard, or set {key}",
                )

    def bound_effort(self, servo: Servo) -> None:
        """Set the goal current or PWM that gives the joint's effort, and read it back."""
        self.put(servo, servo.bound.goal, effort_counts(servo), 2)

    def arm_watchdog(self, servo: Servo) -> None:
        """Set the bus watchdog and read it back; 0 first, which clears a trip."""
        self.put(servo, table.BUS_WATCHDOG, 0, 1)
        steps = table.watchdog_register(servo.motor.watchdog_ms)
        self.put(servo, table.BUS_WATCHDOG, steps, 1)

    def get(self, servo: Servo, address: int, width: int) -> int:
        """An unsigned field of the control table."""
        values = self._ask(servo, dynamixel.read(servo.motor.id, address, width), width)
        return int(struct.unpack(_WIDTHS[width], values)[0])

    def put(self, servo: Servo, address: int, number: int, width: int) -> None:
        """Write a field and read it back."""
        values = struct.pack(_WIDTHS[width], number)
        self._ask(servo, dynamixel.write(servo.motor.id, address, values), 0)
        self._compare(servo, f"control table {address}", number, self.get(servo, address, width))

    def ask_all(self, servos: Sequence[Servo], address: int, length: int) -> list[bytes]:
        """The same field of every servo on the line, in one exchange."""
        ids = [servo.motor.id for servo in servos]
        request = dynamixel.sync_read(address, length, ids)
        values: dict[int, bytes] = {}
        for _ in range(TRIES):
            if len(values) == len(ids):
                break
            self._begin(request)
            deadline_ns = self._clock.now_ns() + REPLY_NS
            while len(values) < len(ids) and self._clock.now_ns() < deadline_ns:
                for reading in self._heard(deadline_ns):
                    if reading.servo in ids and len(reading.values) == length:
                        values[reading.servo] = reading.values
        for servo in servos:
            if servo.motor.id not in values:
                raise self._silent(servo)
        return [values[servo] for servo in ids]

    def _check_travel(self, servo: Servo) -> None:
        top = self.get(servo, table.POSITION_LIMITS, 4)
        bottom = self.get(servo, table.POSITION_LIMITS + 4, 4)
        turn = servo.motor.counts_per_turn
        low, high = travel(servo)
        least, most = (table.position_from_count(count, turn) for count in (bottom, top))
        if low < least or high > most:
            raise ConfigWrong(
                f"joint {servo.joint.name!r}: the servo does not travel as far as the robot file",
                f"robot file {low:.3f} .. {high:.3f} rad at the servo, servo {servo.motor.id} "
                f"says {least:.3f} .. {most:.3f} rad",
                "correct the joint's limits, or the servo's position limits (48, 52)",
            )

    def _check_effort(self, servo: Servo) -> None:
        wanted = effort_counts(servo)
        limit = self.get(servo, servo.bound.limit, 2)
        if wanted > limit:
            unit = servo.motor.torque_per_count
            raise ConfigWrong(
                f"joint {servo.joint.name!r}: effort is more than its servo gives",
                f"robot file {servo.joint.effort:g} N·m ({wanted} counts), servo {servo.motor.id} "
                f"says {limit * unit:g} N·m ({limit} counts)",
                "correct the joint's effort, or torque_per_count",
            )

    def _ask(self, servo: Servo, packet: bytes, length: int) -> bytes:
        """Send, and wait for the servo's answer of `length` bytes; again where none comes.

        An answer of another length belongs to an earlier question, and came late.
        """
        for _ in range(TRIES):
            self._begin(packet)
            deadline_ns = self._clock.now_ns() + REPLY_NS
            while self._clock.now_ns() < deadline_ns:
                for reading in self._heard(deadline_ns):
                    if reading.servo != servo.motor.id:
                        continue
                    failure = reading.error & ~dynamixel.ALERT
                    if failure:
                        raise _refused(servo, packet, failure)
                    if len(reading.values) == length:
                        return reading.values
        raise self._silent(servo)

    def _begin(self, packet: bytes) -> None:
        self._bus.receive_ready()
        self._parser.forget()
        self._send(packet)

    def _send(self, packet: bytes) -> None:
        self._bus.send([BusFrame(0, packet)])

    def _heard(self, deadline_ns: int) -> list[Reading]:
        packets = [
            packet
            for frame in self._bus.receive_until(deadline_ns)
            for packet in self._parser.feed(frame.payload)
        ]
        return [dynamixel.split_status(p) for p in packets if p.instruction == Instruction.STATUS]

    def _silent(self, servo: Servo) -> DeviceMissing:
        return DeviceMissing(
            f"joint {servo.joint.name!r} does not answer",
            f"servo {servo.motor.id} on bus {self._bus.name!r}",
            "check its power, its cable, its id and the baud",
        )

    def _compare(self, servo: Servo, what: str, stated: int, found: int) -> None:
        if stated != found:
            raise ConfigWrong(
                f"joint {servo.joint.name!r}: {what} is not the robot file's",
                f"robot file {stated}, servo {servo.motor.id} on bus {self._bus.name!r} "
                f"says {found}",
                "correct the robot file, or configure the servo",
            )


def travel(servo: Servo) -> tuple[float, float]:
    """The joint's limits as servo positions, rad, lower first."""
    joint = servo.joint
    ends = sorted(joint.sign * end + joint.offset for end in (joint.lower, joint.upper))
    return ends[0], ends[1]


def effort_counts(servo: Servo) -> int:
    """The goal current, or PWM, that gives the joint's effort and no more."""
    return math.floor(servo.joint.effort / servo.motor.torque_per_count)


def _refused(servo: Servo, packet: bytes, failure: int) -> DeviceMissing:
    return DeviceMissing(
        f"joint {servo.joint.name!r} refuses its set-up",
        f"servo {servo.motor.id} answers error {failure} to {packet.hex(' ')}",
        "look the error up under 'Status Packet' in the e-manual; reboot the servo",
    )
