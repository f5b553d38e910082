"""Rows of fixed size in a mapped file: one process writes, any process reads, nobody waits.

The writer fills a row and then raises `latest`; a reader takes rows by number and keeps those whose
number and CRC agree. Store order between cores is not relied on. The file outlives its writer, so
the last seconds before a crash can be read, and a restarted writer goes on where it stopped.

    header │ row 1 │ row 2 │ … │ row capacity │ over again from the first place
    header   magic 4s │ abi u16 │ - u16 │ row bytes u32 │ capacity u32 │ pid u64 │ latest u64 │
             fields as text, to byte 1024
    row      row u64 │ fields … │ crc u32 over all before it
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import zlib
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from neon_edge.errors import ConfigWrong, UsageWrong

MAGIC = b"NERG"
ABI = 1
HEADER_BYTES = 1024
CRC_BYTES = 4

_HEADER = struct.Struct("<4sHHIIQQ")
_PID_INDEX = 2
_LATEST_INDEX = 3
_CODES = {"i8": "q", "u8": "Q", "u4": "I", "u2": "H", "u1": "B"}

Rows = npt.NDArray[np.void]
Fields = tuple[tuple[str, str], ...]
W = TypeVar("W", bound="RingWriter")


class Geometry(NamedTuple):
    """What a ring's header says: a row's dtype (packed, little-endian) and how many there are."""

    dtype: np.dtype[np.void]
    capacity: int


def row_dtype(fields: Fields) -> np.dtype[np.void]:
    """A row: its number, the fields, the CRC."""
    columns = [("row", "<u8"), *((name, f"<{code}") for name, code in fields), ("crc", "<u4")]
    return np.dtype(columns)


def geometry(mapped: mmap.mmap, path: Path) -> Geometry:
    """Read a ring's header. Raises `ConfigWrong` unless the file is a whole ring."""
    if len(mapped) >= HEADER_BYTES:
        magic, abi, _, row_bytes, capacity, _, _ = _HEADER.unpack_from(mapped, 0)
        whole = len(mapped) == HEADER_BYTES + row_bytes * capacity
        if magic == MAGIC and abi == ABI and whole:
            text = mapped[_HEADER.size : HEADER_BYTES].rstrip(b"\0").decode("ascii")
            pairs = (field.partition(":") for field in text.split(","))
            return Geometry(row_dtype(tuple((name, code) for name, _, code in pairs)), capacity)
    raise ConfigWrong(
        f"{path} is not a ring of this version",
        f"{len(mapped)} bytes, begins {bytes(mapped[:6])!r}",
        "every process of a run must be the same neon-edge",
    )


def latest_of(mapped: mmap.mmap) -> npt.NDArray[np.uint64]:
    """The `latest` word itself: loads and stores of an aligned uint64 are whole on any core."""
    return np.frombuffer(mapped, np.uint64, 1, _LATEST_INDEX * 8)


def writer_pid(path: Path) -> int:
    """The process that last opened the ring at `path` to write; 0 before the first."""
    with path.open("rb") as file:
        return int(_HEADER.unpack(file.read(_HEADER.size))[5])


class RingWriter:
    """The one writer of a ring. `FIELDS` and `CAPACITY` are a subclass's to say.

    A subclass's `add` hands the values to `_put` in the order of `FIELDS`: a few µs, and nothing
    is allocated that stays. A restarted writer counts on from the last row.
    """

    FIELDS: Fields = ()
    CAPACITY = 0

    @classmethod
    def create(cls, path: Path, capacity: int = 0) -> None:
        """Make an empty ring of `capacity` rows (0: the class's own). The caller owns the file."""
        row_bytes = row_dtype(cls.FIELDS).itemsize
        rows = capacity or cls.CAPACITY
        text = ",".join(f"{name}:{code}" for name, code in cls.FIELDS).encode("ascii")
        if _HEADER.size + len(text) > HEADER_BYTES:
            raise ValueError(f"{cls.__name__} has more fields than its header has room for")
        partial = path.with_name(path.name + ".part")
        with partial.open("wb") as file:
            file.write(_HEADER.pack(MAGIC, ABI, 0, row_bytes, rows, 0, 0) + text)
            file.truncate(HEADER_BYTES + rows * row_bytes)
        partial.replace(path)

    @classmethod
    def open_writer(cls: type[W], path: Path) -> W:
        """Write to the ring at `path`, as a context manager.

        Raises `ConfigWrong` for a file that is not such a ring, `UsageWrong` when it has a writer.
        """
        return cls(path)

    def __init__(self, path: Path) -> None:
        self._file = _open_locked(path)
        try:
            self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_WRITE)
            dtype, self._capacity = geometry(self._map, path)
            if dtype != row_dtype(self.FIELDS):
                raise ConfigWrong(
                    f"{path} is not a {type(self).__name__}",
                    f"its fields are {', '.join(dtype.names or ())}",
                    "every process of a run must be the same neon-edge",
                )
        except BaseException:
            self._file.close()
            raise
        np.frombuffer(self._map, np.uint64, _LATEST_INDEX)[_PID_INDEX] = os.getpid()
        self._latest = latest_of(self._map)
        self._row = int(self._latest[0])
        self._row_bytes = dtype.itemsize
        self._pack = struct.Struct("<Q" + "".join(_CODES[code] for _, code in self.FIELDS))
        self._crc = struct.Struct("<I")
        self._scratch = bytearray(dtype.itemsize)
        self._body = memoryview(self._scratch)[: self._pack.size]

    def _put(self, *values: int) -> None:
        row = self._row + 1
        self._pack.pack_into(self._scratch, 0, row, *values)
        self._crc.pack_into(self._scratch, self._pack.size, zlib.crc32(self._body))
        at = HEADER_BYTES + (row - 1) % self._capacity * self._row_bytes
        self._map[at : at + self._row_bytes] = self._scratch
        # Last, so that a writer killed in the middle leaves no half row behind.
        self._latest[0] = row
        self._row = row

    def close(self) -> None:
        """Give up writing. The file and its rows stay."""
        del self._latest
        self._map.close()
        self._file.close()

    def __enter__(self: W) -> W:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _open_locked(path: Path) -> BinaryIO:
    file = path.open("r+b")
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise UsageWrong(
            "another process already writes this ring", f"ring {path}", "stop it first"
        ) from None
    return file
