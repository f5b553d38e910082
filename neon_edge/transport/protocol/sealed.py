"""What every reading comes in: who says it and when ahead of it, a checksum behind it.

     0  4 bytes that say what it is                                                 little-endian
     4  u8   version, 1
     5  u8   0, three times
     8  u32  session of the sender, another one each time it starts
    12  u32  sequence in that session
    16  i64  sender's clock when the sensor measured, ns
    24  what was read
    -4  u32  CRC-32 of all bytes above, that of zlib (IEEE 802.3)

Clocks are never compared, but a reading whose own clock stands still is the last one said again: it
is none. Nothing here is authenticated: keep the link private.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

VERSION = 1
_HEAD = struct.Struct("<4sB3xIIq")
_CRC = struct.Struct("<I")
HEAD_BYTES = _HEAD.size
SEAL_BYTES = HEAD_BYTES + _CRC.size
"""Around what was read."""
Raw = bytes | bytearray | memoryview


class Head(NamedTuple):
    """Who says it, and when."""

    session: int
    sequence: int
    at_ns: int


def seal(magic: bytes, head: Head, body: bytes) -> bytes:
    """One message."""
    sealed = _HEAD.pack(magic, VERSION, *head) + body
    return sealed + _CRC.pack(zlib.crc32(sealed))


def unseal(raw: Raw, magic: bytes, size: int) -> Head | None:
    """None for all but a whole message of `size` bytes in this version."""
    if not _is_whole(raw, magic, size):
        return None
    _, _, *head = _HEAD.unpack_from(raw)
    return Head(*head)


def cut(stream: bytearray, magic: bytes, size: int) -> Iterator[bytes]:
    """Take whole messages off the front of a stream, and with them what lies before them."""
    while (at := stream.find(magic)) >= 0 and len(stream) - at >= size:
        raw = bytes(stream[at : at + size])
        whole = _is_whole(raw, magic, size)
        # Damage may hide the beginning of the next one, so no more than a byte is given up.
        del stream[: at + (size if whole else 1)]
        if whole:
            yield raw
    del stream[: max(0, len(stream) - len(magic) + 1) if at < 0 else at]


def _is_whole(raw: Raw, magic: bytes, size: int) -> bool:
    if len(raw) != size or raw[:4] != magic or raw[4] != VERSION:
        return False
    seen = memoryview(raw)[: size - _CRC.size]
    return bool(_CRC.unpack_from(raw, len(seen))[0] == zlib.crc32(seen))
