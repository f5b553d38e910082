"""The kernel's CAN structs as bytes: what a SocketCAN socket, or its Unix twin, carries.

    can_frame     id u32 | length u8 | 3 reserved            | payload 8      16 bytes, native
    canfd_frame   id u32 | length u8 | flags u8 | 2 reserved | payload 64     72 bytes, native

Source: Linux include/uapi/linux/can.h and can/error.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from neon_edge.types import BusFrame

CLASSIC = struct.Struct("=IB3x8s")
FLEXIBLE = struct.Struct("=IBB2x64s")

EXTENDED_FLAG = 0x8000_0000
REMOTE_FLAG = 0x4000_0000
ERROR_FLAG = 0x2000_0000
BUS_OFF = 0x40
"""In an error frame's id: the controller has taken itself off the bus."""
BIT_RATE_SWITCH = 0x01
HIGHEST_STANDARD, HIGHEST_EXTENDED = 0x7FF, 0x1FFF_FFFF
FD_LENGTHS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64)


def encode_frame(frame: BusFrame) -> bytes:
    """The kernel's struct. Raises `ValueError` for an id or a length that CAN does not have."""
    arbitration_id, payload, extended, fd, bit_rate_switch, remote = frame
    if not 0 <= arbitration_id <= (HIGHEST_EXTENDED if extended else HIGHEST_STANDARD):
        raise ValueError(f"arbitration id {arbitration_id:#x} does not fit")
    word = arbitration_id | EXTENDED_FLAG if extended else arbitration_id
    if fd:
        if len(payload) not in FD_LENGTHS:
            raise ValueError(f"{len(payload)} bytes is not a CAN FD length")
        return FLEXIBLE.pack(word, len(payload), BIT_RATE_SWITCH * bit_rate_switch, payload)
    if len(payload) > 8:
        raise ValueError(f"{len(payload)} bytes do not fit a classic frame")
    if remote:
        word |= REMOTE_FLAG
    return CLASSIC.pack(word, len(payload), payload)


def decode_frame(raw: bytes) -> BusFrame | None:
    """A struct as it came; None for anything that is not a CAN struct.

    Error frames come back with ERROR_FLAG still in their id.
    """
    if len(raw) == CLASSIC.size:
        word, length, payload = CLASSIC.unpack(raw)
        fd, switch, longest = False, False, 8
    elif len(raw) == FLEXIBLE.size:
        word, length, flags, payload = FLEXIBLE.unpack(raw)
        fd, switch, longest = True, bool(flags & BIT_RATE_SWITCH), 64
    else:
        return None
    if length > longest:
        return None
    extended, remote = bool(word & EXTENDED_FLAG), bool(word & REMOTE_FLAG)
    kept = word & ~(EXTENDED_FLAG | REMOTE_FLAG)
    return BusFrame(kept, b"" if remote else payload[:length], extended, fd, switch, remote)


def candump(raw: bytes) -> Iterator[str]:
    """Structs, one flexible or any number of classic ones, as can-utils' `candump -L` writes them.

    123#DEADBEEF, 00000123# with an extended id, 123#R for a remote frame, 123##1DEAD for a flexible
    one with its flags; an error frame shows the error flag in its id. What is none of them is
    written as ?HEX. Source: can-utils lib.c, `snprintf_canframe`.
    """
    if len(raw) == FLEXIBLE.size:
        word, length, flags, payload = FLEXIBLE.unpack(raw)
        yield f"{_id_text(word)}##{flags & 0xF:X}{payload[:length].hex().upper()}"
        return
    whole = len(raw) - len(raw) % CLASSIC.size
    for word, length, payload in CLASSIC.iter_unpack(raw[:whole]):
        content = "R" if word & REMOTE_FLAG else payload[:length].hex().upper()
        yield f"{_id_text(word)}#{content}"
    if raw[whole:]:
        yield f"?{raw[whole:].hex().upper()}"


def _id_text(word: int) -> str:
    if word & (EXTENDED_FLAG | ERROR_FLAG):
        return f"{word & 0x3FFF_FFFF:08X}"
    return f"{word & 0x7FF:03X}"
