"""Finds Protocol 2.0 packets in a stream of bytes."""

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
from neon_edge.transport.protocol.stream import PacketStream

LONGEST = 1024
"""Bytes that `length` may claim. More is noise: 253 servos with 4-byte answers fit twice over."""


class StreamParser(PacketStream[Packet]):
    """Instruction and status packets whose CRC is right."""

    header = HEADER
    prefix_bytes = PREFIX_BYTES

    def span(self, prefix: bytearray) -> int:
        """The length field counts what follows it."""
        length = prefix[5] | prefix[6] << 8
        return PREFIX_BYTES + length if 3 <= length <= LONGEST else 0

    def packet(self, raw: bytes) -> Packet | None:
        """The packet, unstuffed unless it is a fast sync read's answer."""
        if crc16(raw[:-2]) != raw[-2] | raw[-1] << 8:
            return None
        servo, instruction, body = raw[4], raw[7], raw[8:-2]
        if not (servo == BROADCAST and instruction == Instruction.STATUS):
            body = unstuff(body)
        return Packet(servo, instruction, body)
