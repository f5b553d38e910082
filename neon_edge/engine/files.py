"""The files of a graph or a plan on disk, and their hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

_CHUNK_BYTES = 1 << 22


def weights_of(graph: Path) -> Path:
    """Where a graph or plan too large for one file keeps its weights: beside it."""
    return graph.with_name(graph.name + ".weights")


def sha256_file(path: Path) -> str:
    """Hex digest of a graph or plan: the file, then its `weights_of` if there is one.

    Reads in pieces; the whole of a large file is never in memory.
    """
    digest = hashlib.sha256()
    for part in (path, weights_of(path)):
        if part == path or part.exists():
            _update(digest, part)
    return digest.hexdigest()


def _update(digest: hashlib._Hash, path: Path) -> None:
    piece = bytearray(_CHUNK_BYTES)
    view = memoryview(piece)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(view):
            digest.update(view[:count])
