"""What passed on a robot's buses, tick by tick, through a ring that is written without allocation.

    row     used i8 | records, one behind another, to `used`
    record  at_ns i64 | bus u8 | sent u8 | bytes u16 | bytes

Little-endian. A row is a tick's; a tick that needs more room takes another.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from neon_edge.telemetry.mapped import Fields, RowWriter, create_ring

ROOM = 6144
"""Bytes of records in a row: a tick of 29 motors, each frame by itself, takes a third of it."""
ROWS = 1024
"""20 s at 50 Hz, 1 s at 1 kHz."""
_FIELDS: Fields = (("used", "i8"), ("records", f"u1*{ROOM}"))
_RECORD = struct.Struct("<qBBH")
_HEAD = struct.Struct("<Qq")
_LONGEST = ROOM - _RECORD.size


class Passed(NamedTuple):
    """Bytes that went over a bus, to it or from it."""

    at_ns: int
    bus: int
    """Its place in the robot file."""
    sent: bool
    raw: bytes
    """A CAN bus: the kernel's structs, one or several; a serial line: the bytes themselves."""


def create_frames(path: Path) -> None:
    """An empty ring. The caller owns the file."""
    create_ring(path, _FIELDS, ROWS)


class FrameRing(RowWriter):
    """The control process's end. Bytes are kept as they come; a row is published with `commit`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _FIELDS)
        self._used = 0

    def add(self, bus: int, sent: bool, raw: bytes, at_ns: int) -> None:
        """Keep what went over a bus; a full row is published, and what fits none goes in pieces."""
        for at in range(0, len(raw), _LONGEST):
            piece = raw[at : at + _LONGEST]
            if self._used + _RECORD.size + len(piece) > ROOM:
                self.commit()
            place = _HEAD.size + self._used
            _RECORD.pack_into(self._scratch, place, at_ns, bus, sent, len(piece))
            begin = place + _RECORD.size
            self._scratch[begin : begin + len(piece)] = piece
            self._used += _RECORD.size + len(piece)

    def commit(self) -> None:
        """Publish what was added since the last time, if anything was."""
        if self._used:
            row = self._row + 1
            _HEAD.pack_into(self._scratch, 0, row, self._used)
            self._commit(row)
            self._used = 0

    def close(self) -> None:
        """Publish the rest and give up writing."""
        self.commit()
        super().close()


def passed(row: np.void) -> Iterator[Passed]:
    """The records of one row, oldest first."""
    raw, at = row["records"][: int(row["used"])].tobytes(), 0
    while at < len(raw):
        at_ns, bus, sent, length = _RECORD.unpack_from(raw, at)
        at += _RECORD.size
        yield Passed(at_ns, bus, bool(sent), raw[at : at + length])
        at += length
