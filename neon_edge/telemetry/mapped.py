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
from typing import Any, BinaryIO, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from neon_edge.errors import ConfigWrong, DeviceMissing, UsageWrong

MAGIC = b"NERG"
ABI = 1
HEADER_BYTES = 1024
CRC_BYTES = 4

_HEADER = struct.Struct("<4sHHIIQQ")
_PID_INDEX = 2
_LATEST_INDEX = 3
_ROW = struct.Struct("<Q")
_CODES = {"i8": "q", "u8": "Q", "u4": "I", "u2": "H", "u1": "B"}

Rows = npt.NDArray[np.void]
Fields = tuple[tuple[str, str], ...]
Array = npt.NDArray[Any]
W = TypeVar("W", bound="RowWriter")
R = TypeVar("R", bound="RingWriter")


class Geometry(NamedTuple):
    """What a ring's header says: a row's dtype (packed, little-endian) and how many there are."""

    dtype: np.dtype[np.void]
    capacity: int


def row_dtype(fields: Fields) -> np.dtype[np.void]:
    """A row: its number, the fields, the CRC. A code is NumPy's, or CODE*COUNT for an array."""
    return np.dtype([("row", "<u8"), *(_column(*field) for field in fields), ("crc", "<u4")])


def _column(name: str, code: str) -> tuple[str, str] | tuple[str, str, tuple[int]]:
    scalar, _, count = code.partition("*")
    return (name, f"<{scalar}", (int(count),)) if count else (name, f"<{scalar}")


def fields_text(fields: Fields) -> str:
    """Fields as one line, as a ring's header and a recording's channel have them."""
    return ",".join(f"{name}:{code}" for name, code in fields)


def fields_of(text: str) -> Fields:
    """What `fields_text` wrote."""
    pairs = (field.partition(":") for field in text.split(","))
    return tuple((name, code) for name, _, code in pairs)


def geometry(mapped: mmap.mmap, path: Path) -> Geometry:
    """Read a ring's header. Raises `ConfigWrong` unless the file is a whole ring."""
    if len(mapped) >= HEADER_BYTES:
        magic, abi, _, row_bytes, capacity, _, _ = _HEADER.unpack_from(mapped, 0)
        whole = len(mapped) == HEADER_BYTES + row_bytes * capacity
        if magic == MAGIC and abi == ABI and whole:
            text = mapped[_HEADER.size : HEADER_BYTES].rstrip(b"\0").decode("ascii")
            return Geometry(row_dtype(fields_of(text)), capacity)
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


def reserve(file: BinaryIO, size: int, path: Path) -> None:
    """Make `file` that long, every byte of it there. Raises `DeviceMissing` where there is no room.

    A file that is only as long as said takes its memory at the first touch, and where there is none
    left then, the kernel kills whoever touched it.
    """
    file.flush()
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except OSError as failure:
        raise DeviceMissing(
            f"there is no room in {path.parent.parent} for what a run keeps in memory",
            f"{path.name.removesuffix('.part')}, {size >> 10} KiB: {failure.strerror}",
            "in a container: --shm-size=256m; otherwise remove what is left there",
        ) from None


def create_ring(path: Path, fields: Fields, capacity: int) -> None:
    """Make an empty ring of `capacity` rows. The caller owns the file. Raises as `reserve` does."""
    row_bytes = row_dtype(fields).itemsize
    text = fields_text(fields).encode("ascii")
    if _HEADER.size + len(text) > HEADER_BYTES:
        raise ValueError("a ring has more fields than its header has room for")
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as file:
        file.write(_HEADER.pack(MAGIC, ABI, 0, row_bytes, capacity, 0, 0) + text)
        reserve(file, HEADER_BYTES + capacity * row_bytes, path)
    partial.replace(path)


class RowWriter:
    """The one writer of a ring, as a context manager. A restarted one counts on from the last row.

    Raises `ConfigWrong` where the file is no ring of `fields`, `UsageWrong` where it has a writer.
    """

    def __init__(self, path: Path, fields: Fields) -> None:
        self._file = _open_locked(path)
        try:
            self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_WRITE)
            self.dtype, self._capacity = geometry(self._map, path)
            if self.dtype != row_dtype(fields):
                raise ConfigWrong(
                    f"{path} is not a {type(self).__name__}",
                    f"its fields are {', '.join(self.dtype.names or ())}",
                    "every process of a run must be the same neon-edge",
                )
        except BaseException:
            self._file.close()
            raise
        np.frombuffer(self._map, np.uint64, _LATEST_INDEX)[_PID_INDEX] = os.getpid()
        self._latest = latest_of(self._map)
        self._row = int(self._latest[0])
        self._row_bytes = self.dtype.itemsize
        self._crc = struct.Struct("<I")
        self._crc_at = self._row_bytes - CRC_BYTES
        self._scratch = bytearray(self._row_bytes)
        self._body = memoryview(self._scratch)[: self._crc_at]

    def _commit(self, row: int) -> None:
        """Publish the scratch, whose first field says that it is `row`."""
        self._crc.pack_into(self._scratch, self._crc_at, zlib.crc32(self._body))
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


class RingWriter(RowWriter):
    """Rows of integers. `FIELDS` and `CAPACITY` are a subclass's to say.

    A subclass's `add` hands the values to `_put` in the order of `FIELDS`: a few µs, and nothing
    is allocated that stays.
    """

    FIELDS: Fields = ()
    CAPACITY = 0

    @classmethod
    def create(cls, path: Path, capacity: int = 0) -> None:
        """Make an empty ring of `capacity` rows (0: the class's own). The caller owns the file."""
        create_ring(path, cls.FIELDS, capacity or cls.CAPACITY)

    @classmethod
    def open_writer(cls: type[R], path: Path) -> R:
        """Write to the ring at `path`, as a context manager. Raises as `RowWriter` does."""
        return cls(path)

    def __init__(self, path: Path) -> None:
        super().__init__(path, self.FIELDS)
        self._pack = struct.Struct("<Q" + "".join(_CODES[code] for _, code in self.FIELDS))

    def _put(self, *values: int) -> None:
        row = self._row + 1
        self._pack.pack_into(self._scratch, 0, row, *values)
        self._commit(row)


class ArrayRing(RowWriter):
    """Rows that hold arrays: fill the views that `field` gave, then `commit`."""

    def field(self, name: str) -> Array:
        """The place for `name` in the next row: (1,) for a number, (count,) for an array."""
        return np.frombuffer(self._scratch, self.dtype, 1)[name].reshape(-1)

    def commit(self) -> None:
        """Publish what the views hold. They keep it for the row after."""
        row = self._row + 1
        _ROW.pack_into(self._scratch, 0, row)
        self._commit(row)


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
