"""A sensor's reading, 28 bytes and 4 a number: a datagram, or one behind another on a line.

 0  "NESV", then as sealed.py has it                                            little-endian
24  f32  the numbers, all finite, in C order of the sensor's shape
-4  u32  CRC-32 of all bytes above
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from neon_edge.transport.protocol.sealed import HEAD_BYTES, SEAL_BYTES, Head, Raw, seal, unseal
from neon_edge.types import Float32

MAGIC = b"NESV"


class Values(NamedTuple):
    """Numbers (size,), in whatever they came in: copy them before the next message."""

    session: int
    sequence: int
    at_ns: int
    numbers: Float32


def values_bytes(size: int) -> int:
    """Of a message with so many numbers."""
    return SEAL_BYTES + 4 * size


def encode_values(head: Head, numbers: npt.ArrayLike) -> bytes:
    """Raises `ValueError` for what no receiver would take."""
    flat = np.asarray(numbers, "<f4")
    if not np.isfinite(flat).all():
        raise ValueError(f"not finite: {flat}")
    return seal(MAGIC, head, flat.tobytes())


class ValuesDecoder:
    """Of readings of `size` numbers; nothing that grows with it is made after the beginning."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._bytes = values_bytes(size)
        self._finite = np.zeros(size, np.bool_)

    def __call__(self, raw: Raw) -> Values | None:
        """None for all but a whole reading of this version and size whose numbers are finite."""
        head = unseal(raw, MAGIC, self._bytes)
        if head is None:
            return None
        numbers: Float32 = np.frombuffer(raw, "<f4", self._size, HEAD_BYTES)
        if not np.isfinite(numbers, out=self._finite).all():
            return None
        return Values(*head, numbers)
