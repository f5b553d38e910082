"""The feature slot: one writer, one reader, newest wins, nothing torn is ever accepted.

A file in tmpfs, mapped by both processes. Pure Python cannot order its stores for another core, and
Orin's cores reorder them, so correctness rests on checking what was read: sequence at both ends
and a CRC over everything between. Ring depth makes collisions rare; checks make them harmless.

    header │ slot 0 │ slot 1 │ slot 2 │ slot 3
    header   magic 4s │ abi u16 │ slots u16 │ width u32 │ rows u32 │ writer pid u64 │ latest u64
    slot     begin u64 │ captured i64 │ published i64 │ model u64 │ instruction u64 │ bytes u32 │
             crc u32 │ payload │ room for rows that are not used │ end u64
    payload  pooled float32[width] │ tokens float32[count][width], count <= rows

Rows are 0 unless the backbone gives its tokens out: 160 of 2048 are 1.25 MiB a slot, 5 MiB a file.

Shape of the design: iceoryx2 `iceoryx2-bb/lock-free/src/spmc/unrestricted_atomic.rs`.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import zlib
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import numpy as np

from neon_edge.errors import ConfigWrong, UsageWrong
from neon_edge.telemetry.mapped import reserve
from neon_edge.types import Features, Float32

MAGIC = b"NEFR"
ABI = 2
SLOTS = 4
RETRIES = 3

_HEADER = struct.Struct("<4sHHIIQQ")
_HEADER_BYTES = 64
_LATEST = struct.Struct("<Q")
_LATEST_AT = _HEADER.size - _LATEST.size
_PID_AT = _LATEST_AT - 8
_HEAD = struct.Struct("<QqqQQI")
_CRC = struct.Struct("<I")
_END = struct.Struct("<Q")
_PAYLOAD_AT = _HEAD.size + _CRC.size


def _slot_bytes(width: int, rows: int) -> int:
    return (_PAYLOAD_AT + 4 * width * (1 + rows) + _END.size + 63) // 64 * 64


def create_slot(path: Path, width: int, rows: int = 0) -> None:
    """Make an empty slot for pooled features of `width` float32, and up to `rows` tokens as wide.

    The caller owns the file.
    Raises `DeviceMissing` where there is no room for it.
    """
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as file:
        file.write(_HEADER.pack(MAGIC, ABI, SLOTS, width, rows, 0, 0))
        reserve(file, _HEADER_BYTES + SLOTS * _slot_bytes(width, rows), path)
    partial.replace(path)


M = TypeVar("M", bound="_Mapping")


class _Mapping:
    """The mapped file, its geometry checked."""

    def __init__(self, path: Path, writable: bool) -> None:
        self._file = path.open("r+b" if writable else "rb")
        try:
            access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
            self._map = mmap.mmap(self._file.fileno(), 0, access=access)
            magic, abi, slots, width, rows, _, _ = _HEADER.unpack_from(self._map, 0)
            if (magic, abi, slots) != (MAGIC, ABI, SLOTS):
                raise ConfigWrong(
                    f"{path} is not a feature slot of this version",
                    f"magic {magic!r}, layout {abi}, {slots} slots",
                    "both processes must run the same neon-edge",
                )
        except BaseException:
            self._file.close()
            raise
        self.width, self.rows = int(width), int(rows)
        self._slot_bytes = _slot_bytes(self.width, self.rows)
        self._pooled_bytes = 4 * self.width
        self._end_at = _PAYLOAD_AT + self._pooled_bytes * (1 + self.rows)

    def _at(self, sequence: int) -> int:
        return _HEADER_BYTES + (sequence % SLOTS) * self._slot_bytes

    def close(self) -> None:
        """Unmap and close."""
        self._map.close()
        self._file.close()

    def __enter__(self: M) -> M:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()


class SlotWriter(_Mapping):
    """The backbone's end. A lock on the file holds the promise of a single writer."""

    def __init__(self, path: Path, model_hash: int) -> None:
        super().__init__(path, writable=True)
        try:
            fcntl.flock(self._file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise UsageWrong(
                "another backbone already writes these features", f"slot {path}", "stop it first"
            ) from None
        self.model_hash = model_hash
        # A restarted writer counts on, so that no reader mistakes its first feature for an old one.
        self._sequence = int(_LATEST.unpack_from(self._map, _LATEST_AT)[0])
        _LATEST.pack_into(self._map, _PID_AT, os.getpid())

    @property
    def next_sequence(self) -> int:
        """What the next `publish` will return."""
        return self._sequence + 1

    def publish(
        self,
        pooled: Float32,
        captured_ns: int,
        published_ns: int,
        instruction_id: int = 0,
        tokens: Float32 | None = None,
    ) -> int:
        """Publish (width,) float32, and (count, width) tokens where the slot has rows for them.

        Returns its sequence number, from 1.
        """
        payload = np.ascontiguousarray(pooled, dtype=np.float32).tobytes()
        rows = b"" if tokens is None else np.ascontiguousarray(tokens, dtype=np.float32).tobytes()
        self._check_sizes(payload, tokens)
        sequence, size = self._sequence + 1, len(payload) + len(rows)
        at = self._at(sequence)
        head = _HEAD.pack(
            sequence, captured_ns, published_ns, self.model_hash, instruction_id, size
        )
        self._map[at : at + _HEAD.size] = head
        crc = zlib.crc32(rows, zlib.crc32(payload, zlib.crc32(head)))
        _CRC.pack_into(self._map, at + _HEAD.size, crc)
        rows_at = at + _PAYLOAD_AT + len(payload)
        self._map[at + _PAYLOAD_AT : rows_at] = payload
        self._map[rows_at : rows_at + len(rows)] = rows
        _END.pack_into(self._map, at + self._end_at, sequence)
        _LATEST.pack_into(self._map, _LATEST_AT, sequence)
        self._sequence = sequence
        return sequence

    def _check_sizes(self, payload: bytes, tokens: Float32 | None) -> None:
        if len(payload) != self._pooled_bytes:
            raise ConfigWrong(
                "pooled features have another width than the slot",
                f"{len(payload) // 4} against {self.width}",
                "build backbone and heads together",
            )
        shape = (0, self.width) if tokens is None else tokens.shape
        if shape[1:] != (self.width,) or not min(1, self.rows) <= shape[0] <= self.rows:
            raise ConfigWrong(
                "the backbone's tokens do not fit the slot",
                f"{shape} against up to ({self.rows}, {self.width})",
                "build backbone and heads together",
            )


class SlotReader(_Mapping):
    """The control loop's end. `latest` never blocks and never returns what it could not check."""

    def __init__(self, path: Path, model_hash: int) -> None:
        super().__init__(path, writable=False)
        self._model_hash = model_hash
        self._whole = memoryview(self._map)
        # The newest features' tokens lie in one of them while the other is read into.
        self._spare, self._used = (memoryview(bytearray(self._slot_bytes)) for _ in range(2))
        self._newest: Features | None = None
        self._refused = 0
        self.torn = 0
        """Reads given up after every retry."""
        self.foreign = 0
        """Features refused because another backbone made them."""
        self.not_finite = 0
        """Features refused for holding NaN or infinity."""

    def close(self) -> None:
        """Unmap and close."""
        self._whole.release()
        super().close()

    def latest(self) -> Features | None:
        """The newest good features, or the last good ones, or None before the first."""
        (sequence,) = _LATEST.unpack_from(self._map, _LATEST_AT)
        known = self._newest.sequence if self._newest is not None else 0
        if sequence in (known, self._refused):
            return self._newest
        for _ in range(RETRIES):
            features = self._checked(sequence)
            if features is not None:
                self._accept(features)
                return self._newest
            (sequence,) = _LATEST.unpack_from(self._map, _LATEST_AT)
        self.torn += 1
        return self._newest

    def _checked(self, sequence: int) -> Features | None:
        at, copy = self._at(sequence), self._spare
        copy[:] = self._whole[at : at + self._slot_bytes]
        begin, captured, published, model, instruction, size = _HEAD.unpack_from(copy, 0)
        (end,) = _END.unpack_from(copy, self._end_at)
        count, rest = divmod(size, self._pooled_bytes)
        if begin != sequence or end != sequence or rest or not 1 <= count <= 1 + self.rows:
            return None
        (crc,) = _CRC.unpack_from(copy, _HEAD.size)
        payload = copy[_PAYLOAD_AT : _PAYLOAD_AT + size]
        if crc != zlib.crc32(payload, zlib.crc32(copy[: _HEAD.size])):
            return None
        made = np.frombuffer(payload, np.float32)
        pooled = made[: self.width].copy()
        tokens = made[self.width :].reshape(-1, self.width) if self.rows else None
        return Features(pooled, captured, published, sequence, model, instruction, tokens)

    def _accept(self, features: Features) -> None:
        if features.model_hash != self._model_hash:
            self.foreign += 1
        # A token that is not finite leaves no finite mean.
        elif not np.isfinite(features.pooled).all():
            self.not_finite += 1
        else:
            self._newest = features
            self._spare, self._used = self._used, self._spare
            return
        # Remembered, so that one refused feature is counted once and not at every tick.
        self._refused = features.sequence
