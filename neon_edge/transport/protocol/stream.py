"""Finds checked packets in a stream of bytes, through noise, loss and rubbish."""

from __future__ import annotations

from typing import Generic, TypeVar

P = TypeVar("P")


class PacketStream(Generic[P]):
    """Remembers the unfinished tail between reads; a packet with a bad check never comes out.

    A family says how its packets begin, how long the one at the front is, and what is in it.
    """

    header: bytes
    prefix_bytes: int
    """How many bytes tell the packet's length."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._gone = 0
        self._stuck = -1
        self.crc_errors = 0
        self.bytes_dropped = 0

    def span(self, prefix: bytearray) -> int:
        """Bytes of the packet that begins here, or 0 where none can begin like this."""
        raise NotImplementedError

    def packet(self, raw: bytes) -> P | None:
        """What these bytes say, or None where their check is wrong."""
        raise NotImplementedError

    def feed(self, piece: bytes) -> list[P]:
        """Take bytes as they came; give the packets that are now complete, in order."""
        pending = self._pending
        pending += piece
        packets: list[P] = []
        while True:
            self._drop(self._start())
            if len(pending) < self.prefix_bytes:
                return packets
            span = self.span(pending)
            if not span:
                self._drop(1)
                continue
            if len(pending) < span:
                return packets
            packet = self.packet(bytes(pending[:span]))
            if packet is None:
                # Only one byte goes: a real packet may start inside what this header claimed.
                self.crc_errors += 1
                self._drop(1)
            else:
                packets.append(packet)
                self._remove(span)

    def settle(self) -> list[P]:
        """Once a tick, after `feed`: what hides behind a packet that still has not ended.

        A length with a flipped bit claims bytes of packets to come, and all of them would be silent
        until it has them. A packet that was unfinished a tick ago and still is, is none.
        """
        packets: list[P] = []
        if self._pending and self._gone == self._stuck:
            self.crc_errors += 1
            self._drop(1)
            packets = self.feed(b"")
        self._stuck = self._gone if self._pending else -1
        return packets

    def forget(self) -> None:
        """Drop an unfinished packet: whoever was sending it has been interrupted."""
        self._drop(len(self._pending))

    def _drop(self, count: int) -> None:
        self.bytes_dropped += count
        self._remove(count)

    def _remove(self, count: int) -> None:
        self._gone += count
        del self._pending[:count]

    def _start(self) -> int:
        """Where a header begins, or where one may begin once more bytes have come."""
        pending, header = self._pending, self.header
        found = pending.find(header)
        if found >= 0:
            return found
        for tail in range(min(len(header) - 1, len(pending)), 0, -1):
            if pending.endswith(header[:tail]):
                return len(pending) - tail
        return len(pending)
