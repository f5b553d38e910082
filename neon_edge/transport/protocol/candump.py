"""Frames as `candump -L` writes and `canplayer` reads them: one line each.

    (1700000000.123456) can0 123#DEADBEEF        classic; eight hex digits of id where extended
    (1700000000.123456) can0 123##1DEADBEEF      FD, flags first: 1 is bit-rate switch
    (1700000000.123456) can0 123#R               remote

Source: linux-can/can-utils lib.c.
"""

from __future__ import annotations

import re

from neon_edge.transport.protocol.socketcan import FD_LENGTHS, HIGHEST_EXTENDED, HIGHEST_STANDARD
from neon_edge.types import BusFrame

_FRAME = re.compile(r"([0-9A-Fa-f]{3}|[0-9A-Fa-f]{8})#(#[0-9A-Fa-f])?(R\d?|(?:[0-9A-Fa-f]{2})*)")


def line(frame: BusFrame, channel: str, at_ns: int) -> str:
    """One line, without its end. `at_ns` is nanoseconds since 1970."""
    seconds, rest = divmod(at_ns, 1_000_000_000)
    return f"({seconds:010d}.{rest // 1000:06d}) {channel} {words(frame)}"


def words(frame: BusFrame) -> str:
    """The frame alone, as `cansend` takes it."""
    digits = f"{frame.arbitration_id:0{8 if frame.extended else 3}X}"
    if frame.remote:
        return f"{digits}#R"
    mark = f"##{int(frame.bit_rate_switch)}" if frame.fd else "#"
    return digits + mark + frame.payload.hex().upper()


def frame(text: str) -> BusFrame:
    """What `cansend` understands of `text`. Raises `ValueError` for anything else."""
    found = _FRAME.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not ID#DATA, ID##FLAGS DATA or ID#R")
    digits, mark, rest = found.groups()
    number, extended = int(digits, 16), len(digits) == 8
    if number > (HIGHEST_EXTENDED if extended else HIGHEST_STANDARD):
        raise ValueError(f"id {digits} is beyond {'29' if extended else '11'} bits")
    if rest.startswith("R"):
        if mark is not None:
            raise ValueError(f"{text!r}: there are no remote frames in CAN FD")
        return BusFrame(number, b"", extended, remote=True)
    payload = bytes.fromhex(rest)
    if mark is None:
        if len(payload) > 8:
            raise ValueError(f"{len(payload)} bytes do not fit a classic frame")
        return BusFrame(number, payload, extended)
    if len(payload) not in FD_LENGTHS:
        raise ValueError(f"{len(payload)} bytes is not a CAN FD length")
    return BusFrame(number, payload, extended, True, bool(int(mark[1], 16) & 1))
