"""Base velocity over UDP: commands one way, reports the other, one datagram each.

    command, 40 bytes                          report, 44 bytes                       little-endian
     0  "NEBV"                                  0  "NEBV"
     4  u8   version, 1                         4  u8   version, 1
     5  u8   kind, 1                            5  u8   kind, 2
     6  u16  milliseconds it holds for          6  u8   state: 0 idle, 1 following, 2 stopped
                                                7  u8   0
     8  u32  session of the sender              8  u32  session that is followed, 0 for none
    12  u32  sequence in that session          12  u32  sequence of the newest command taken
    16  i64  sender's clock, ns                16  i64  that command's clock, as it was sent
    24  f32  forward, m/s                      24  f32  measured forward, m/s
    28  f32  sideways (left), m/s              28  f32  measured sideways, m/s
    32  f32  turn (counter-clockwise), rad/s   32  f32  measured turn, rad/s
    36  u32  CRC-32 of the 36 bytes above      36  u32  datagrams refused so far
                                               40  u32  CRC-32 of the 40 bytes above

A controller follows the newest command of one session at a time. Behind `hold_ms` without a newer
one it goes to zero velocity by itself (state 2, reported once unasked) and takes a new session; the
same one may go on. It refuses, and counts, what is damaged, of another version, not finite, not
newer, or of another session than the one it follows. It reports after every command that it takes.
Clocks are never compared: a report returns the sender's own. CRC-32 is that of zlib (IEEE 802.3).
Nothing here is authenticated: keep the link private.
"""

from __future__ import annotations

import math
import struct
import zlib
from enum import IntEnum
from typing import NamedTuple

MAGIC = b"NEBV"
VERSION = 1
_COMMAND = struct.Struct("<4sBBHIIqfff")
_REPORT = struct.Struct("<4sBBBBIIqfffI")
_CRC = struct.Struct("<I")
COMMAND_BYTES = _COMMAND.size + _CRC.size
REPORT_BYTES = _REPORT.size + _CRC.size
_ASKS, _TELLS = 1, 2
Velocity = tuple[float, float, float]
"""Forward m/s, sideways m/s, turn rad/s."""


class BaseState(IntEnum):
    """What a controller does now."""

    IDLE = 0
    FOLLOWING = 1
    STOPPED = 2
    """Its watchdog tripped: zero velocity until the next command."""


class VelocityCommand(NamedTuple):
    """A velocity, and for how long it may be followed."""

    hold_ms: int
    session: int
    sequence: int
    at_ns: int
    velocity: Velocity


class VelocityReport(NamedTuple):
    """What the controller follows, measures and has refused."""

    state: BaseState
    session: int
    sequence: int
    at_ns: int
    velocity: Velocity
    refused: int


def encode_command(command: VelocityCommand) -> bytes:
    """Raises `ValueError` for a velocity that is not finite: it never leaves."""
    hold_ms, session, sequence, at_ns, velocity = command
    if not all(map(math.isfinite, velocity)):
        raise ValueError(f"base velocity is not finite: {velocity}")
    return _signed(
        _COMMAND.pack(MAGIC, VERSION, _ASKS, hold_ms, session, sequence, at_ns, *velocity)
    )


def decode_command(raw: bytes) -> VelocityCommand | None:
    """None for anything but a whole command of this version with finite numbers."""
    if not _is_whole(raw, COMMAND_BYTES, _ASKS):
        return None
    _, _, _, hold_ms, session, sequence, at_ns, *velocity = _COMMAND.unpack_from(raw)
    if not all(map(math.isfinite, velocity)):
        return None
    return VelocityCommand(hold_ms, session, sequence, at_ns, _triple(velocity))


def encode_report(report: VelocityReport) -> bytes:
    """The controller's answer."""
    state, session, sequence, at_ns, velocity, refused = report
    return _signed(
        _REPORT.pack(MAGIC, VERSION, _TELLS, state, 0, session, sequence, at_ns, *velocity, refused)
    )


def decode_report(raw: bytes) -> VelocityReport | None:
    """None for anything but a whole report of this version with finite numbers."""
    if not _is_whole(raw, REPORT_BYTES, _TELLS):
        return None
    _, _, _, state, _, session, sequence, at_ns, *velocity, refused = _REPORT.unpack_from(raw)
    if state > BaseState.STOPPED or not all(map(math.isfinite, velocity)):
        return None
    return VelocityReport(BaseState(state), session, sequence, at_ns, _triple(velocity), refused)


def is_newer(sequence: int, than: int) -> bool:
    """By serial number arithmetic over 32 bits (RFC 1982): 0 follows 2³² - 1."""
    return 0 < (sequence - than) % (1 << 32) < 1 << 31


def _signed(body: bytes) -> bytes:
    return body + _CRC.pack(zlib.crc32(body))


def _is_whole(raw: bytes, size: int, kind: int) -> bool:
    return (
        len(raw) == size
        and raw[:4] == MAGIC
        and raw[4] == VERSION
        and raw[5] == kind
        and _CRC.unpack_from(raw, size - _CRC.size)[0] == zlib.crc32(raw[: -_CRC.size])
    )


def _triple(values: list[float]) -> Velocity:
    forward, sideways, turn = values
    return forward, sideways, turn
