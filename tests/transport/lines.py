"""The two ends of an emulated serial line."""

from __future__ import annotations

import fcntl
import os
import termios


def waiting(end: int) -> int:
    """Bytes that can be read at this end now."""
    return int.from_bytes(fcntl.ioctl(end, termios.FIONREAD, bytes(4)), "little")


def carry(ours: int, theirs: int, raw: bytes) -> None:
    """Write at our end, and wait: the kernel carries bytes to theirs in its own time."""
    wanted = waiting(theirs) + os.write(ours, raw)
    while waiting(theirs) < wanted:
        os.sched_yield()
