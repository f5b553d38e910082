"""A run's own directory in tmpfs: slot, rings, sockets.

A run that ends removes it. What a killed one leaves is removed by the next run's `sweep`, once
every process that holds it is dead: until then it is memory that nobody uses.
"""

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


def runtime_directory() -> Path | None:
    """What the service manager made for this service (systemd's RuntimeDirectory), if it did."""
    given = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    return Path(given) if given else None


def hold(directory: Path) -> BinaryIO:
    """Keep `directory` from being swept while the returned file is open: each process does."""
    lock = directory / LOCK
    if lock.exists():
        return _shared(lock)
    # Named once it is locked: a lock that is there and free belongs to the dead.
    partial = lock.with_name(f"{LOCK}.{os.getpid()}")
    file = _shared(partial)
    try:
        lock.hardlink_to(partial)
    except FileExistsError:
        file.close()
        file = _shared(lock)
    partial.unlink()
    return file


def _shared(path: Path) -> BinaryIO:
    file = path.open("ab")
    fcntl.flock(file.fileno(), fcntl.LOCK_SH)
    return file


def is_held(directory: Path) -> bool:
    """Whether any process of that run lives."""
    try:
        with (directory / LOCK).open("rb") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


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
    try:
        locked = LOCK in {path.name for path in directory.iterdir()}
    except OSError:  # no directory, or not ours to look into
        return False
    if locked:
        return not is_held(directory)
    # Between making its directory and locking it, a run is known by its process id.
    with contextlib.suppress(ValueError):
        return not lives(int(directory.name.removeprefix(PREFIX).split("-")[0]))
    return True


def lives(pid: int) -> bool:
    """Whether there is a process of that number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
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
