"""Finds Protocol 2.0 packets in a stream of bytes, through noise, loss and rubbish."""

from __future__ import annotations

from neon_edge.transport.protocol.crc import crc16
from neon_edge.transport.protocol.dynamixel import (
    BROADCAST,
    HEADER,
    PREFIX_BYTES,
    Instruction,
    Packet,
    unstuff,
)

LONGEST = 1024
"""Bytes that `length` may claim. More is noise: 253 servos with 4-byte answers fit twice over."""


class StreamParser:
    """Remembers the unfinished tail between reads; a packet with a bad CRC never comes out."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self.crc_errors = 0
        self.bytes_dropped = 0

    def feed(self, piece: bytes) -> list[Packet]:
        """Take bytes as they came; give the packets that are now complete, in order."""
        pending = self._pending
        pending += piece
        packets: list[Packet] = []
        while True:
            self._drop(_start(pending))
            if len(pending) < PREFIX_BYTES:
                return packets
            length = pending[5] | pending[6] << 8
            if not 3 <= length <= LONGEST:
                self._drop(1)
                continue
            end = PREFIX_BYTES + length
            if len(pending) < end:
                return packets
            raw = bytes(pending[:end])
            if crc16(raw[:-2]) == raw[-2] | raw[-1] << 8:
                packets.append(_packet(raw))
                del pending[:end]
            else:
                # Only one byte goes: a real packet may start inside what this header claimed.
                self.crc_errors += 1
                self._drop(1)

    def forget(self) -> None:
        """Drop an unfinished packet: whoever was sending it has been interrupted."""
        self._drop(len(self._pending))

    def _drop(self, count: int) -> None:
        self.bytes_dropped += count
        del self._pending[:count]


def _start(pending: bytearray) -> int:
    """Where a header begins, or where one may begin once more bytes have come."""
    found = pending.find(HEADER)
    if found >= 0:
        return found
    for tail in range(min(len(HEADER) - 1, len(pending)), 0, -1):
        if pending.endswith(HEADER[:tail]):
            return len(pending) - tail
    return len(pending)


def _packet(raw: bytes) -> Packet:
    servo, instruction, body = raw[4], raw[7], raw[8:-2]
    if not (servo == BROADCAST and instruction == Instruction.STATUS):
        body = unstuff(body)
    return Packet(servo, instruction, body)
