"""Dynamixel servos on a half-duplex serial line: instruction packets in, status packets out."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from neon_edge.config import SerialBus
from neon_edge.sim.dynamics import Dynamics
from neon_edge.sim.dynamixel import EmulatedDynamixel
from neon_edge.sim.motors import Reply
from neon_edge.transport.protocol import dynamixel
from neon_edge.transport.protocol.dynamixel import BROADCAST, Instruction, Packet, Reading
from neon_edge.transport.protocol.dynamixel_stream import StreamParser


class DynamixelMotors:
    """Dynamixel servos on a half-duplex serial line."""

    def __init__(
        self, bus: SerialBus, servos: Sequence[EmulatedDynamixel], dynamics: Dynamics
    ) -> None:
        self._byte_ns = 10 * 1_000_000_000 // bus.baud
        self._all = servos
        self._servos = {servo.id: servo for servo in servos}
        self._dynamics = dynamics
        self.parser = StreamParser()
        self._answers: dict[int, Callable[[Packet], list[Reply]]] = {
            Instruction.PING: self._ping,
            Instruction.READ: self._read,
            Instruction.WRITE: self._write,
            Instruction.REBOOT: self._reboot,
            Instruction.SYNC_READ: self._sync_read,
            Instruction.SYNC_WRITE: self._sync_write,
            Instruction.FAST_SYNC_READ: self._fast_sync_read,
        }

    def hear(self, raw: bytes, now_ns: int) -> list[Reply]:
        """Packets with a wrong CRC are not heard at all."""
        self._dynamics.advance(now_ns)
        self._servos = {servo.id: servo for servo in self._all if now_ns >= servo.awake_ns}
        replies: list[Reply] = []
        for packet in self.parser.feed(raw):
            if packet.instruction == Instruction.STATUS:
                continue
            for servo in self._servos.values():
                servo.hear(now_ns)
            replies += self._answer(packet)
        return replies

    def watch(self, now_ns: int) -> None:
        """Let watchdogs trip."""
        for servo in self._all:
            servo.watch(now_ns)

    def speak(self, now_ns: int) -> list[Reply]:
        """Servos speak only when spoken to."""
        return []

    def wire_ns(self, raw: bytes) -> int:
        """Ten bits a byte."""
        return len(raw) * self._byte_ns

    def _answer(self, packet: Packet) -> list[Reply]:
        answer = self._answers.get(packet.instruction)
        try:
            if answer is not None:
                return answer(packet)
        except struct.error:
            return self._fail(packet, dynamixel.Failure.LENGTH)
        return self._fail(packet, dynamixel.Failure.INSTRUCTION)

    def _addressed(self, packet: Packet) -> list[EmulatedDynamixel]:
        if packet.servo == BROADCAST:
            return list(self._servos.values())
        servo = self._servos.get(packet.servo)
        return [] if servo is None else [servo]

    def _fail(self, packet: Packet, failure: int) -> list[Reply]:
        if packet.servo == BROADCAST:
            return []
        return [_status(servo, failure) for servo in self._addressed(packet)]

    def _ping(self, packet: Packet) -> list[Reply]:
        replies = []
        for servo in self._addressed(packet):
            model, firmware = servo.read(0, 2)[1], servo.read(6, 1)[1]
            replies.append(_status(servo, 0, model + firmware))
        return replies

    def _read(self, packet: Packet) -> list[Reply]:
        address, length = struct.unpack("<HH", packet.body)
        if packet.servo == BROADCAST:
            return []
        return [_status(servo, *servo.read(address, length)) for servo in self._addressed(packet)]

    def _write(self, packet: Packet) -> list[Reply]:
        (address,) = struct.unpack_from("<H", packet.body)
        replies = []
        for servo in self._addressed(packet):
            error = servo.write(address, packet.body[2:])
            if packet.servo != BROADCAST and servo.replies_to_writes:
                replies.append(_status(servo, error))
        return replies

    def _reboot(self, packet: Packet) -> list[Reply]:
        addressed = self._addressed(packet)
        for servo in addressed:
            servo.reboot()
        return [] if packet.servo == BROADCAST else [_status(servo, 0) for servo in addressed]

    def _sync_write(self, packet: Packet) -> list[Reply]:
        address, length = struct.unpack_from("<HH", packet.body)
        entries = packet.body[4:]
        if len(entries) % (length + 1):
            return []
        for start in range(0, len(entries), length + 1):
            servo = self._servos.get(entries[start])
            if servo is not None:
                servo.write(address, entries[start + 1 : start + 1 + length])
        return []

    def _readings(self, packet: Packet) -> list[tuple[EmulatedDynamixel, Reading]]:
        address, length = struct.unpack_from("<HH", packet.body)
        readings = []
        for wanted in packet.body[4:]:
            servo = self._servos.get(wanted)
            if servo is None:
                # Each waits for the one before it: after a gap nobody speaks.
                break
            readings.append((servo, _reading(servo, address, length)))
        return readings

    def _sync_read(self, packet: Packet) -> list[Reply]:
        return [
            _status(servo, reading.error, reading.values)
            for servo, reading in self._readings(packet)
        ]

    def _fast_sync_read(self, packet: Packet) -> list[Reply]:
        readings = self._readings(packet)
        if not readings or len(readings) < len(packet.body) - 4:
            # The first servo has announced a length that the others do not fill: no packet ends.
            return []
        delay_ns = max(servo.return_delay_ns for servo, _ in readings)
        return [Reply(delay_ns, dynamixel.fast_status([reading for _, reading in readings]))]


def _status(servo: EmulatedDynamixel, error: int, values: bytes = b"") -> Reply:
    return Reply(servo.return_delay_ns, dynamixel.status(servo.id, error | servo.alert, values))


def _reading(servo: EmulatedDynamixel, address: int, length: int) -> Reading:
    error, values = servo.read(address, length)
    return Reading(servo.id, error | servo.alert, values)
