"""The motors of one bus as the wire sees them: raw bytes in, timed raw bytes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from neon_edge.config import CanBus
from neon_edge.sim.motor import CanMotor
from neon_edge.transport.protocol.socketcan import decode_frame, encode_frame

FD_DATA_RATE = 5_000_000


class Reply(NamedTuple):
    """Bytes that a motor puts on the wire, this long after the wire is free."""

    delay_ns: int
    raw: bytes
    late_ns: int = 0
    """On top, for a motor that dawdles while others use the wire."""


class Motors(Protocol):
    """What hangs on one bus."""

    def hear(self, raw: bytes, now_ns: int) -> list[Reply]:
        """Take what arrived at `now_ns`, whole; give the replies in the order they are sent."""

    def speak(self, now_ns: int) -> list[Reply]:
        """What the motors send unasked by now."""

    def watch(self, now_ns: int) -> None:
        """Let watchdogs trip."""

    def wire_ns(self, raw: bytes) -> int:
        """How long these bytes occupy the wire."""


class CanMotors:
    """Motors on a CAN bus. Raw bytes are the kernel's structs, one at a time."""

    def __init__(self, bus: CanBus, motors: Sequence[CanMotor]) -> None:
        self._bit_rate = bus.bit_rate
        self._motors = motors

    def hear(self, raw: bytes, now_ns: int) -> list[Reply]:
        """Every motor hears every frame."""
        frame = decode_frame(raw)
        if frame is None:
            return []
        return [
            Reply(0, encode_frame(answer), motor.late_ns)
            for motor in self._motors
            if now_ns >= motor.awake_ns
            for answer in motor.answer(frame, now_ns)
            if not motor.mute
        ]

    def speak(self, now_ns: int) -> list[Reply]:
        """Heartbeats and the like."""
        return [
            Reply(0, encode_frame(frame), motor.late_ns)
            for motor in self._motors
            if now_ns >= motor.awake_ns
            for frame in motor.speak(now_ns)
            if not motor.mute
        ]

    def watch(self, now_ns: int) -> None:
        """Let watchdogs trip."""
        for motor in self._motors:
            motor.watch(now_ns)

    def wire_ns(self, raw: bytes) -> int:
        """Bits of the frame without stuffing: 47 + 8 n, 20 more for an extended id."""
        frame = decode_frame(raw)
        if frame is None:
            return 0
        payload_bits, other_bits = 8 * len(frame.payload), 67 if frame.extended else 47
        rate = FD_DATA_RATE if frame.bit_rate_switch else self._bit_rate
        return other_bits * 1_000_000_000 // self._bit_rate + payload_bits * 1_000_000_000 // rate
