"""Emulated Feetech servos on their line: registers, lock, torque enable. They have no watchdog."""

from __future__ import annotations

import math
from collections.abc import Sequence

from neon_edge.config import FeetechMotor, Joint, SerialBus
from neon_edge.sim.dynamics import Drive, Dynamics
from neon_edge.sim.motor import EmulatedMotor
from neon_edge.sim.motors import Reply
from neon_edge.transport.protocol import feetech
from neon_edge.transport.protocol.feetech import BROADCAST, Instruction, Packet, Stream

FACTORY_RETURN_DELAY = 250
FIRMWARE = "3.10"
OVERHEAT = 4
RANGE_ERROR = 2
"""The angle bit: what a servo says to a goal out of its limits."""
READ_ONLY = frozenset(range(feetech.PRESENT, feetech.TABLE_BYTES))


class EmulatedFeetech(EmulatedMotor):
    """One servo: what its registers hold and how writing them moves the joint."""

    def __init__(self, joint: Joint, motor: FeetechMotor, dynamics: Dynamics, axis: int) -> None:
        super().__init__(dynamics, axis)
        self.id = motor.id
        self._motor = motor
        self._order = "big" if motor.series == "scs" else "little"
        self._lock = feetech.SCS_LOCK if motor.series == "scs" else feetech.STS_LOCK
        self._gains = (joint.kp, joint.kd)
        self._effort = float(dynamics.effort[axis])
        self.table = bytearray(feetech.TABLE_BYTES)
        major, minor = (int(part) for part in (motor.firmware or FIRMWARE).split("."))
        self.table[feetech.FIRMWARE : feetech.FIRMWARE + 2] = bytes((major, minor))
        self._put(feetech.MODEL, motor.model)
        self.table[feetech.ID] = motor.id
        self.table[feetech.RETURN_DELAY] = FACTORY_RETURN_DELAY
        self._put(feetech.ANGLE_LIMITS + 2, motor.counts_per_turn - 1)
        self._power_on()

    def _power_on(self) -> None:
        self.table[feetech.EEPROM_END :] = bytes(feetech.TABLE_BYTES - feetech.EEPROM_END)
        if self._motor.series == "sts":
            self._put(feetech.TORQUE_LIMIT, 1000)
        self.table[self._lock] = 1
        self._put(feetech.GOAL_POSITION, self._count())

    @property
    def return_delay_ns(self) -> int:
        """Silence that the servo keeps before it answers."""
        return self.table[feetech.RETURN_DELAY] * feetech.RETURN_DELAY_UNIT_NS

    @property
    def error(self) -> int:
        """The byte that opens every answer."""
        return OVERHEAT if self.hot else 0

    @property
    def knows_sync_read(self) -> bool:
        """SCS servos do not."""
        return self._motor.series == "sts"

    def restart(self) -> None:
        """Torque off, the EEPROM closed, the torque limit back to full."""
        self._power_on()
        self.release()

    def overheat(self, hot: bool) -> None:
        """The torque goes while it is hot."""
        self.hot = hot
        if hot:
            self.table[feetech.TORQUE_ENABLE] = 0
            self.release()

    def read(self, address: int, length: int) -> bytes:
        """Bytes of the registers, as many as there are."""
        self._measure()
        return bytes(self.table[address : address + length])

    def write(self, address: int, values: bytes) -> int:
        """Put bytes into the registers, if the servo would. Gives the error byte."""
        touched = range(address, address + len(values))
        locked = address < feetech.EEPROM_END and self.table[self._lock]
        if not values or touched.stop > feetech.TABLE_BYTES or locked:
            return self.error
        if not READ_ONLY.isdisjoint(touched):
            return self.error
        if address == feetech.GOAL_POSITION and not self._reaches(values):
            return self.error | RANGE_ERROR
        self.commands_received += address == feetech.GOAL_POSITION
        self.table[address : touched.stop] = values
        if self.hot:
            self.table[feetech.TORQUE_ENABLE] = 0
        self._drive()
        return self.error

    def _reaches(self, values: bytes) -> bool:
        least, most = (self._word(feetech.ANGLE_LIMITS + k) for k in (0, 2))
        goal = feetech.unpack_word(values[:2], self._order)
        return len(values) >= 2 and (least == most == 0 or least <= goal <= most)

    def _drive(self) -> None:
        if self.table[feetech.TORQUE_ENABLE] != 1:
            self.release()
            return
        limit = self._effort
        if self._motor.series == "sts":
            share = self._word(feetech.TORQUE_LIMIT) / 1000
            limit = min(limit, share * self._motor.stall_torque)
        self.dynamics.effort[self.axis] = limit
        turn = self._motor.counts_per_turn
        goal = (self._word(feetech.GOAL_POSITION) / turn - 0.5) * math.tau
        kp, kd = self._gains
        self.pull(Drive(goal, kp=kp, kd=kd))

    def _measure(self) -> None:
        motor, turn = self._motor, self._motor.counts_per_turn / math.tau
        load = round(max(-1000.0, min(1000.0, self.torque / motor.stall_torque * 1000)))
        speed = round(max(-32767.0, min(32767.0, self.velocity * turn)))
        present = feetech.encode_present(self._count(), speed, load, self._order)
        self.table[feetech.PRESENT : feetech.PRESENT + feetech.PRESENT_BYTES] = present
        self.table[feetech.PRESENT_VOLTAGE] = 120
        self.table[feetech.PRESENT_CELSIUS] = self.celsius

    def _count(self) -> int:
        turn = self._motor.counts_per_turn
        return round(self.position * turn / math.tau + turn / 2)

    def _word(self, address: int) -> int:
        return feetech.unpack_word(self.table[address : address + 2], self._order)

    def _put(self, address: int, word: int) -> None:
        self.table[address : address + 2] = feetech.pack_word(word, self._order)


class FeetechMotors:
    """Feetech servos on a half-duplex line."""

    def __init__(
        self, bus: SerialBus, servos: Sequence[EmulatedFeetech], dynamics: Dynamics
    ) -> None:
        self._byte_ns = 10 * 1_000_000_000 // bus.baud
        self._all = servos
        self._servos = {servo.id: servo for servo in servos}
        self._dynamics = dynamics
        self.parser = Stream()

    def hear(self, raw: bytes, now_ns: int) -> list[Reply]:
        """Packets with a wrong check are not heard at all."""
        self._dynamics.advance(now_ns)
        self._servos = {servo.id: servo for servo in self._all if now_ns >= servo.awake_ns}
        return [reply for packet in self.parser.feed(raw) for reply in self._answer(packet)]

    def speak(self, now_ns: int) -> list[Reply]:
        """Servos speak only when spoken to."""
        return []

    def watch(self, now_ns: int) -> None:
        """There is nothing to trip."""

    def wire_ns(self, raw: bytes) -> int:
        """Ten bits a byte."""
        return len(raw) * self._byte_ns

    def _answer(self, packet: Packet) -> list[Reply]:
        body = packet.body
        match packet.word:
            case Instruction.SYNC_WRITE if len(body) >= 2:
                self._sync_write(body[0], body[1], body[2:])
            case Instruction.SYNC_READ if len(body) >= 2:
                return self._sync_read(body[0], body[1], body[2:])
            case Instruction.WRITE if packet.servo == BROADCAST and body:
                for servo in self._servos.values():
                    servo.write(body[0], body[1:])
            case _ if packet.servo in self._servos:
                return self._single(self._servos[packet.servo], packet)
        return []

    def _single(self, servo: EmulatedFeetech, packet: Packet) -> list[Reply]:
        body = packet.body
        match packet.word:
            case Instruction.PING:
                return [_status(servo, servo.error)]
            case Instruction.READ if len(body) == 2 and body[1]:
                return [_status(servo, servo.error, servo.read(body[0], body[1]))]
            case Instruction.WRITE if body:
                return [_status(servo, servo.write(body[0], body[1:]))]
        return []

    def _sync_write(self, address: int, length: int, entries: bytes) -> None:
        if not length or len(entries) % (length + 1):
            return
        for start in range(0, len(entries), length + 1):
            servo = self._servos.get(entries[start])
            if servo is not None:
                servo.write(address, entries[start + 1 : start + 1 + length])

    def _sync_read(self, address: int, length: int, wanted: bytes) -> list[Reply]:
        replies = []
        for servo in (self._servos.get(one) for one in wanted):
            if servo is None:
                break
            # The older protocol knows no sync read.
            if servo.knows_sync_read:
                replies.append(_status(servo, servo.error, servo.read(address, length)))
        return replies


def _status(servo: EmulatedFeetech, error: int, values: bytes = b"") -> Reply:
    return Reply(servo.return_delay_ns, feetech.encode(servo.id, error, values))
