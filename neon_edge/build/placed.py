"""Directories that are put in place whole, by one build at a time.

DIR.part   being made, and taken up again where an interrupt left it (`Ledger`)
DIR        whole
DIR.old    what DIR was, for the moment between two renames
build.lock held by the build that writes beside it
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neon_edge.engine.held import is_held
from neon_edge.errors import ConfigWrong

LOCK = "build.lock"
_UNWRITABLE = (None, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""None: NumPy says "N requested and M written", and no number."""
PART, ASIDE, SCRATCH = ".part", ".old", "scratch"


@contextmanager
def writing_in(place: Path) -> Iterator[None]:
    """A full disk is told in three lines, wherever in the build it is met. Raises `ConfigWrong`."""
    try:
        yield
    except OSError as failure:
        if failure.errno not in _UNWRITABLE:
            raise
        raise _cannot_write(place, failure) from failure


def _cannot_write(place: Path, failure: OSError) -> ConfigWrong:
    """What a person can do about it."""
    free = shutil.disk_usage(place).free if place.exists() else 0
    said = failure.strerror or failure
    named = f" ({failure.filename})" if failure.filename else ""
    return ConfigWrong(
        "the build cannot write its files",
        f"{said}{named}: {place}, {free / 2**30:.1f} GiB free",
        "make room and run the same command again: it goes on where it stopped",
    )


@contextmanager
def alone(place: Path) -> Iterator[None]:
    """Be the only build that writes in `place`. Raises `ConfigWrong` naming the other process."""
    place.mkdir(parents=True, exist_ok=True)
    with (place / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigWrong(
                "another build is writing here",
                f"process {writer_of(place) or 'unknown'} in {place}",
                "wait until it has ended, or name another place with --out",
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def writer_of(place: Path) -> str:
    """The process id of the build that writes in `place`; empty where none does."""
    try:
        with (place / LOCK).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return (place / LOCK).read_text().strip()
    except OSError:
        return ""
    return ""


def put(partial: Path, target: Path) -> None:
    """Make the directory `partial` be `target`. What that was goes once the new one is there.

    Whenever it is interrupted, `target` or `partial` is whole, and `restore` brings `target` back.
    """
    restore(target)
    aside = target.with_name(target.name + ASIDE)
    _remove(aside)
    if os.path.lexists(target):
        target.rename(aside)
    partial.rename(target)
    _names_to_disk(target.parent)
    _remove(aside)


def restore(target: Path) -> None:
    """Undo a `put` that was interrupted between its renames."""
    aside = target.with_name(target.name + ASIDE)
    if os.path.lexists(aside) and not os.path.lexists(target):
        aside.rename(target)


@contextmanager
def scratch(directory: Path) -> Iterator[Path]:
    """A folder in `directory` that is empty at first and gone at last: /tmp may be memory."""
    place = directory / SCRATCH
    _remove(place)
    place.mkdir()
    try:
        yield place
    finally:
        _remove(place)


def next_of(place: Path, name: str) -> Path:
    """NAME.1, or behind the highest that is there: a name that no directory had before it."""
    return place / f"{name}.{max(_numbers(place, name), default=0) + 1}"


def keep_only(kept: Path) -> None:
    """Remove what stands beside `kept` under other numbers, and what no process holds of it."""
    name = kept.name.rpartition(".")[0]
    others = [kept.with_name(f"{name}.{number}") for number in _numbers(kept.parent, name)]
    for directory in others:
        if directory != kept and not is_held(directory):
            _remove(directory)


def _numbers(place: Path, name: str) -> list[int]:
    ends = (path.name[len(name) + 1 :] for path in place.glob(f"{name}.*"))
    return [int(end) for end in ends if end.isdecimal()]


def _remove(directory: Path) -> None:
    if directory.is_symlink():
        directory.unlink()
    shutil.rmtree(directory, ignore_errors=True)


def _names_to_disk(directory: Path) -> None:
    opened = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
