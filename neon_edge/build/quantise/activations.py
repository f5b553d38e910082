"""What a walk carries from stage to stage: in memory up to a limit, the rest on the disk.

A tensor's values on all samples are one file without a name, which ends with the process.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, overload

import numpy as np
import numpy.typing as npt

from neon_edge.types import Float32

IN_MEMORY_BYTES = 1 << 30
Array = npt.NDArray[Any]


@dataclass
class _Filed:
    """One tensor on every sample, each of one shape, one behind the other."""

    file: IO[bytes]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    nbytes: int


@dataclass
class _Held:
    arrays: dict[int, Array] = field(default_factory=dict)
    nbytes: int = 0
    """Of all samples, put or not yet."""


class Activations:
    """Tensors by sample and name. Those that it is made from stay in memory, their owner's."""

    def __init__(
        self,
        samples: Sequence[Mapping[str, Array]],
        directory: Path | None = None,
        limit: int = IN_MEMORY_BYTES,
    ) -> None:
        self.count = len(samples)
        self._directory = directory
        self._limit = limit
        self._held: dict[str, _Held] = {}
        self._filed: dict[str, _Filed] = {}
        for number, sample in enumerate(samples):
            for name, array in sample.items():
                self._held.setdefault(name, _Held()).arrays[number] = array

    def put(self, number: int, name: str, array: Array) -> None:
        """Keep `array` as `name` on sample `number`."""
        if name not in self._held and name not in self._filed:
            self._begin(name, array)
        filed = self._filed.get(name)
        if filed is None:
            self._held[name].arrays[number] = array
        else:
            self._write(filed, number, np.ascontiguousarray(array))

    def get(self, number: int, name: str) -> Array:
        """As it was put."""
        filed = self._filed.get(name)
        if filed is None:
            return self._held[name].arrays[number]
        array = np.empty(filed.shape, filed.dtype)
        os.preadv(filed.file.fileno(), [array.data], number * filed.nbytes)
        return array

    def keep_only(self, names: set[str]) -> None:
        """Forget all others."""
        for name in set(self._held) - names:
            del self._held[name]
        for name in set(self._filed) - names:
            self._filed.pop(name).file.close()

    def _write(self, filed: _Filed, number: int, array: Array) -> None:
        # A disk that is full takes a part and says no word.
        if os.pwrite(filed.file.fileno(), array.data, number * filed.nbytes) != filed.nbytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _begin(self, name: str, array: Array) -> None:
        whole = array.nbytes * self.count
        if sum(held.nbytes for held in self._held.values()) + whole <= self._limit:
            self._held[name] = _Held(nbytes=whole)
            return
        file = tempfile.TemporaryFile(dir=self._directory, buffering=0)  # noqa: SIM115
        self._filed[name] = _Filed(file, array.shape, array.dtype, array.nbytes)


class Tokens(Sequence[Float32]):
    """One tensor of `Activations` on every sample as (n, inputs) float32, made when asked for.

    Good until the walk goes on.
    """

    def __init__(self, live: Activations, name: str, inputs: int) -> None:
        self._live, self._name, self._inputs = live, name, inputs

    def __len__(self) -> int:
        return self._live.count

    @overload
    def __getitem__(self, number: int) -> Float32: ...

    @overload
    def __getitem__(self, number: slice) -> list[Float32]: ...

    def __getitem__(self, number: int | slice) -> Float32 | list[Float32]:
        if isinstance(number, slice):
            return [self[place] for place in range(len(self))[number]]
        if not -len(self) <= number < len(self):
            raise IndexError(number)
        array = self._live.get(number % len(self), self._name)
        return array.reshape(-1, self._inputs).astype(np.float32, copy=False)

    def __iter__(self) -> Iterator[Float32]:
        return (self[number] for number in range(len(self)))
