"""An IMU's readings, 56 bytes each: a datagram over UDP, one behind another on a serial line.

     0  "NEIM", then as sealed.py has it                                            little-endian
    24  f32  orientation of the base in the world: unit quaternion w, x, y, z; z is up
    40  f32  angular velocity about the base's own x, y, z, rad/s
    52  u32  CRC-32 of the 52 bytes above

The sender turns readings from the sensor's axes into the base's: forward, left, up.
"""

from __future__ import annotations

import math
import struct
from typing import NamedTuple

from neon_edge.transport.protocol.sealed import HEAD_BYTES, SEAL_BYTES, Head, Raw, seal, unseal

MAGIC = b"NEIM"
UNIT_WITHIN = 1e-3
"""A quaternion's length may be this far from 1; 14 bits a component (BNO055) stay within 1e-4."""
_BODY = struct.Struct("<4f3f")
READING_BYTES = SEAL_BYTES + _BODY.size
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
    body = _BODY.pack(*orientation, *turn)
    return seal(MAGIC, Head(session, sequence, at_ns), body)


def decode_reading(raw: Raw) -> Reading | None:
    """None for all but a whole reading of this version, finite and with a unit quaternion."""
    head = unseal(raw, MAGIC, READING_BYTES)
    if head is None:
        return None
    w, x, y, z, roll, pitch, yaw = _BODY.unpack_from(raw, HEAD_BYTES)
    if not _is_sound((w, x, y, z), (roll, pitch, yaw)):
        return None
    return Reading(*head, (w, x, y, z), (roll, pitch, yaw))


def tilt_rad(orientation: Quaternion) -> float:
    """Angle between the base's z and up, 0 to π; exact near both ends, where an arc cosine is not.

    The share of a rotation that is about no vertical axis is (x, y) of its quaternion.
    """
    w, x, y, z = orientation
    return 2 * math.atan2(math.hypot(x, y), math.hypot(w, z))


def _is_sound(orientation: Quaternion, turn: Turn) -> bool:
    # A length that is no number is not near 1 either.
    return abs(math.hypot(*orientation) - 1) <= UNIT_WITHIN and all(map(math.isfinite, turn))
