"""The only file that sleeps or tells time: integer nanoseconds on the monotonic clock."""

from __future__ import annotations

import ctypes
import errno
import os
import time
from typing import Protocol

_CLOCK_MONOTONIC = 1
_TIMER_ABSTIME = 1


def wall_clock_ns() -> int:
    """Nanoseconds since 1970, for log lines only: this clock jumps."""
    return time.time_ns()


class Clock(Protocol):
    """What the loop needs of time."""

    def now_ns(self) -> int:
        """Nanoseconds since an arbitrary origin; never goes back."""

    def sleep_until_ns(self, due_ns: int) -> None:
        """Return at `due_ns` or later; at once if it has passed."""


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class MonotonicClock:
    """CLOCK_MONOTONIC with absolute sleeps.

    CPython's `time.sleep` takes a duration, so the time between computing and sleeping is lost
    every tick (measured elsewhere: 42 ms in 12 s at 50 Hz). `clock_nanosleep` takes a deadline.
    """

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._nanosleep = libc.clock_nanosleep
        self._due = _Timespec()
        self._due_pointer = ctypes.byref(self._due)

    def now_ns(self) -> int:
        """Nanoseconds on CLOCK_MONOTONIC."""
        return time.monotonic_ns()

    def sleep_until_ns(self, due_ns: int) -> None:
        """Sleep to an absolute deadline, through interrupting signals."""
        self._due.seconds, self._due.nanoseconds = divmod(due_ns, 1_000_000_000)
        while True:
            failure = self._nanosleep(_CLOCK_MONOTONIC, _TIMER_ABSTIME, self._due_pointer, None)
            if failure == 0:
                return
            if failure != errno.EINTR:
                raise OSError(failure, os.strerror(failure))


class FakeClock:
    """A clock that moves only when told to: by a sleep, or by `advance_ns`."""

    def __init__(self, start_ns: int = 1_000_000_000) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> int:
        """The time it was last moved to."""
        return self._now_ns

    def sleep_until_ns(self, due_ns: int) -> None:
        """Jump to `due_ns`, never back."""
        self._now_ns = max(self._now_ns, due_ns)

    def advance_ns(self, duration_ns: int) -> None:
        """Let time pass: work, a stall, a slow bus."""
        self._now_ns += duration_ns
