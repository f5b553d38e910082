"""The other end of a ring: takes rows over before they are overwritten, and counts what it lost."""

from __future__ import annotations

import mmap
import sys
import zlib
from pathlib import Path

import numpy as np

from neon_edge.errors import ConfigWrong
from neon_edge.telemetry.mapped import CRC_BYTES, HEADER_BYTES, Rows, geometry, latest_of

_FIRST_ROOM = 1024


class RingReader:
    """Everything a ring held while somebody called `drain` often enough.

    Keeps the newest `keep` rows, or every one (a million ticks are 5.5 hours and 108 MB); `seen`
    counts all of them, `lost` those that were overwritten or damaged before a `drain` came.
    """

    def __init__(self, path: Path, keep: int | None = None) -> None:
        self._map = _mapped(path)
        self.dtype, self._capacity = geometry(self._map, path)
        self._places = np.frombuffer(self._map, self.dtype, self._capacity, HEADER_BYTES)
        self._latest = latest_of(self._map)
        self._next = 1
        self._doubtful = 0
        self._keep = sys.maxsize if keep is None else keep
        self._kept: Rows = np.zeros(min(_FIRST_ROOM, self._keep), self.dtype)
        self._count = 0
        self.seen = 0
        self.lost = 0

    def drain(self) -> int:
        """Take over every new row; how many. Never waits for the writer."""
        before = self.seen
        latest = int(self._latest[0])
        overwritten = latest - self._capacity + 1 - self._next
        if overwritten > 0:
            self.lost += overwritten
            self._next += overwritten
        while self._next <= latest and self._take(self._next):
            self._next += 1
        return self.seen - before

    def rows(self) -> Rows:
        """The rows kept, oldest first: a view, valid until the next `drain`."""
        return self._kept[: self._count]

    def newest(self, count: int) -> Rows:
        """The last `count` of `rows()`, or fewer."""
        return self._kept[max(0, self._count - count) : self._count]

    def close(self) -> None:
        """Unmap the file. Rows already taken stay readable."""
        del self._places, self._latest
        self._map.close()

    def _take(self, number: int) -> bool:
        """Copy one row out and check the copy. False: not whole yet, ask again next time."""
        row = self._places[(number - 1) % self._capacity].tobytes()
        found = np.frombuffer(row, self.dtype)[0]
        if found["row"] == number and found["crc"] == zlib.crc32(row[:-CRC_BYTES]):
            self._append(found)
            return True
        # `latest` can be seen before the row it announces, once. Twice means overwritten or bad.
        if found["row"] <= number and self._doubtful != number:
            self._doubtful = number
            return False
        self.lost += 1
        return True

    def _append(self, row: np.void) -> None:
        if self._count == len(self._kept):
            self._make_room()
        self._kept[self._count] = row
        self._count += 1
        self.seen += 1

    def _make_room(self) -> None:
        if self._count < self._keep:
            grown = np.zeros(min(2 * len(self._kept), self._keep), self.dtype)
            grown[: self._count] = self._kept
            self._kept = grown
            return
        # Dropping a quarter at a time keeps the cost of moving rows far from every row.
        dropped = max(1, self._keep // 4)
        self._kept[: self._count - dropped] = self._kept[dropped : self._count].copy()
        self._count -= dropped


def _mapped(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as failure:
        raise ConfigWrong(
            f"ring {path.name} cannot be read", f"{path}: {failure}", "is the run still there?"
        ) from failure
