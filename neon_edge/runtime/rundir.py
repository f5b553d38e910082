"""A run's own directory in tmpfs: slot, rings, sockets. Gone when the last of its processes is."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

PREFIX = "neon-edge-"
LOCK = "alive.lock"


def place() -> Path:
    """Where runs keep their files: tmpfs where there is one, for nothing in a tick may wait."""
    shared = Path("/dev/shm")
    return shared if shared.is_dir() else Path(tempfile.gettempdir())


def hold(directory: Path) -> BinaryIO:
    """Keep `directory` from being swept while the returned file is open: each process does."""
    file = (directory / LOCK).open("ab")
    fcntl.flock(file.fileno(), fcntl.LOCK_SH)
    return file


def sweep() -> list[Path]:
    """Remove the directories of runs whose every process is dead; returns them.

    A process that dies by a signal removes nothing, so the next run does it for it.
    """
    swept = []
    for directory in place().glob(PREFIX + "*"):
        if _abandoned(directory):
            shutil.rmtree(directory, ignore_errors=True)
            swept.append(directory)
    return swept


def _abandoned(directory: Path) -> bool:
    # Between making its directory and locking it, a run is known by its process id.
    with contextlib.suppress(ValueError, IndexError, ProcessLookupError, PermissionError):
        os.kill(int(directory.name.removeprefix(PREFIX).split("-")[0]), 0)
        return False
    try:
        with (directory / LOCK).open("ab") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


class RunDirectory(AbstractContextManager[Path]):
    """Made for one run, after sweeping what dead ones left."""

    def __enter__(self) -> Path:
        sweep()
        self._path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=place()))
        self._held = hold(self._path)
        return self._path

    def __exit__(self, *_: object) -> None:
        self._held.close()
        shutil.rmtree(self._path, ignore_errors=True)
