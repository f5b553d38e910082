"""An IMU's readings, 56 bytes each: a datagram over UDP, one behind another on a serial line.

     0  "NEIM"                                                                      little-endian
     4  u8   version, 1
     5  u8   0, three times
     8  u32  session of the sender, another one each time it starts
    12  u32  sequence in that session
    16  i64  sender's clock when the sensor measured, ns
    24  f32  orientation of the base in the world: unit quaternion w, x, y, z; z is up
    40  f32  angular velocity about the base's own x, y, z, rad/s
    52  u32  CRC-32 of the 52 bytes above, that of zlib (IEEE 802.3)

The sender turns readings from the sensor's axes into the base's: forward, left, up. Clocks are
never compared, but a reading whose own clock stands still is the last one said again: it is none.
Nothing here is authenticated: keep the link private.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

MAGIC = b"NEIM"
VERSION = 1
UNIT_WITHIN = 1e-3
"""A quaternion's length may be this far from 1; 14 bits a component (BNO055) stay within 1e-4."""
_BODY = struct.Struct("<4sB3xIIq4f3f")
_CRC = struct.Struct("<I")
READING_BYTES = _BODY.size + _CRC.size
Quaternion = tuple[float, float, float, float]
"""w, x, y, z."""
Turn = tuple[float, float, float]
"""rad/s about x, y, z."""


class Reading(NamedTuple):
    """How the base stands and turns."""

    session: int
    sequence: int
    at_ns: int
    orientation: Quaternion
    turn: Turn


def encode_reading(reading: Reading) -> bytes:
    """Raises `ValueError` for what no receiver would take."""
    session, sequence, at_ns, orientation, turn = reading
    if not _is_sound(orientation, turn):
        raise ValueError(f"no unit quaternion, or not finite: {orientation}, {turn}")
    body = _BODY.pack(MAGIC, VERSION, session, sequence, at_ns, *orientation, *turn)
    return body + _CRC.pack(zlib.crc32(body))


def decode_reading(raw: bytes) -> Reading | None:
    """None for all but a whole reading of this version, finite and with a unit quaternion."""
    if not _is_whole(raw):
        return None
    _, _, session, sequence, at_ns, w, x, y, z, *turn = _BODY.unpack_from(raw)
    roll, pitch, yaw = turn
    if not _is_sound((w, x, y, z), (roll, pitch, yaw)):
        return None
    return Reading(session, sequence, at_ns, (w, x, y, z), (roll, pitch, yaw))


def cut(stream: bytearray) -> Iterator[bytes]:
    """Take whole readings off the front of a stream, and with them what lies before them."""
    while (at := stream.find(MAGIC)) >= 0 and len(stream) - at >= READING_BYTES:
        raw = bytes(stream[at : at + READING_BYTES])
        whole = _is_whole(raw)
        # Damage may hide the beginning of the next one, so no more than a byte is given up.
        del stream[: at + (READING_BYTES if whole else 1)]
        if whole:
            yield raw
    del stream[: max(0, len(stream) - len(MAGIC) + 1) if at < 0 else at]


def tilt_rad(orientation: Quaternion) -> float:
    """Angle between the base's z and up, 0 to π; exact near both ends, where an arc cosine is not.

    The share of a rotation that is about no vertical axis is (x, y) of its quaternion.
    """
    w, x, y, z = orientation
    return 2 * math.atan2(math.hypot(x, y), math.hypot(w, z))


def _is_whole(raw: bytes) -> bool:
    return (
        len(raw) == READING_BYTES
        and raw[:4] == MAGIC
        and raw[4] == VERSION
        and _CRC.unpack_from(raw, _BODY.size)[0] == zlib.crc32(raw[: _BODY.size])
    )


def _is_sound(orientation: Quaternion, turn: Turn) -> bool:
    # A length that is no number is not near 1 either.
    return abs(math.hypot(*orientation) - 1) <= UNIT_WITHIN and all(map(math.isfinite, turn))
