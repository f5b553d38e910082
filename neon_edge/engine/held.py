"""Plans that a process runs from stay where they are: it may have to open them again.

robot   hold(PLANS) ─ until it ends            build   is_held(PLANS)? then they are not deleted
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

_held: dict[Path, int] = {}


def hold(directory: Path) -> None:
    """Hold `directory`, with others, until this process ends. Where locks are unknown, do not."""
    real = directory.resolve()
    with contextlib.suppress(OSError):
        if real not in _held:
            opened = os.open(real, os.O_RDONLY)
            _held[real] = opened
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)


def is_held(directory: Path) -> bool:
    """Whether any process, this one too, holds it."""
    try:
        opened = os.open(directory, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as failure:
        return isinstance(failure, BlockingIOError)
    finally:
        os.close(opened)
    return False
