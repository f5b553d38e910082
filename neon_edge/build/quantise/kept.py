"""Layers that are done, on disk, so that hours of work survive whatever stops them."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neon_edge.build.importers import QuantisedLinear
from neon_edge.build.ledger import sources_key, to_disk
from neon_edge.types import Float32

DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)
"""What NumPy raises for a .npz that is cut short, overwritten or not one."""
_FIELDS = ("codes", "scales", "zeros", "order", "input_scale")
_CODE = (Path(__file__).parent, Path(__file__).parents[1] / "importers")
"""Folders that shape a layer."""


class Kept:
    """One .npz a layer in a directory named by everything that shaped it; None keeps nothing."""

    def __init__(self, root: Path | None, key: str) -> None:
        self.key = key
        self.directory = None if root is None else root / key
        if self.directory is not None:
            self.directory.mkdir(parents=True, exist_ok=True)

    def load(self, name: str) -> tuple[QuantisedLinear, dict[str, float]] | None:
        """The layer and the figures kept with it; None where there is none, or half of one."""
        path = self._path(name)
        if path is None or not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays: dict[str, Any] = {
                    field: stored[field] for field in _FIELDS if field in stored
                }
                numbers = {field[2:]: float(stored[field]) for field in stored if field[:2] == "f."}
                bits = int(stored["bits"])
        except DAMAGED:
            return None
        scale = numbers.pop("activation_scale", None)
        return QuantisedLinear(bits=bits, activation_scale=scale, **arrays), numbers

    def save(self, name: str, layer: QuantisedLinear, figures: Mapping[str, float]) -> None:
        """Whole or not at all, also behind a power cut."""
        path = self._path(name)
        if path is None:
            return
        arrays: dict[str, npt.NDArray[Any]] = {"bits": np.asarray(layer.bits)}
        for field in _FIELDS:
            value = getattr(layer, field)
            if value is not None:
                arrays[field] = value
        numbers = dict(figures)
        if layer.activation_scale is not None:
            numbers["activation_scale"] = layer.activation_scale
        arrays |= {f"f.{field}": np.asarray(value) for field, value in numbers.items()}
        partial = path.with_name(path.name + ".part")
        with partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        to_disk(partial)
        partial.replace(path)

    def _path(self, name: str) -> Path | None:
        return None if self.directory is None else self.directory / f"{name.replace('/', '_')}.npz"


def key_of(graph_sha256: str, samples: Sequence[Mapping[str, Float32]], settings: object) -> str:
    """16 hex digits over the graph, every sample, the settings and the code that quantises."""
    digest = hashlib.sha256(f"{graph_sha256} {sources_key(*_CODE)}".encode())
    digest.update(repr(settings).encode())
    for sample in samples:
        for name in sorted(sample):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(sample[name]).data)
    return digest.hexdigest()[:16]
