"""Sleeping to a deadline: the same one after every interruption, and none that depends on now."""

from __future__ import annotations

import errno
import itertools
import signal
from typing import Any

import pytest

from neon_edge.clock import FakeClock, MonotonicClock
from neon_edge.runtime.ticker import Ticker

SECOND = 1_000_000_000


class Kernel:
    """clock_nanosleep as the clock calls it: notes every deadline, answers what it is told to."""

    def __init__(self, *answers: int) -> None:
        self.asked: list[tuple[int, int, int]] = []
        self._answers = iter(answers)

    def __call__(self, clock: int, flags: int, due: Any, remaining: None) -> int:
        assert remaining is None
        self.asked.append((clock, flags, due._obj.seconds * SECOND + due._obj.nanoseconds))
        assert 0 <= due._obj.nanoseconds < SECOND
        return next(self._answers, 0)


def slept(kernel: Kernel) -> MonotonicClock:
    clock = MonotonicClock()
    clock._nanosleep = kernel
    return clock


def test_a_sleep_goes_on_to_the_same_deadline_after_every_interruption() -> None:
    kernel = Kernel(errno.EINTR, errno.EINTR)
    slept(kernel).sleep_until_ns(5 * SECOND + 7)
    # CLOCK_MONOTONIC, TIMER_ABSTIME (linux/time.h)
    assert kernel.asked == [(1, 1, 5 * SECOND + 7)] * 3


def test_any_other_failure_is_raised() -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        slept(Kernel(errno.EINVAL)).sleep_until_ns(1)


def test_signals_do_not_end_a_sleep_early() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda *_: heard.append(1))
    clock = MonotonicClock()
    due_ns = clock.now_ns() + SECOND // 10
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    try:
        clock.sleep_until_ns(due_ns)
        assert clock.now_ns() >= due_ns
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert heard


def test_a_deadline_that_has_passed_is_no_sleep() -> None:
    clock = MonotonicClock()
    clock.sleep_until_ns(clock.now_ns() - SECOND)
    clock.sleep_until_ns(0)


def test_twelve_seconds_of_deadlines_lie_on_one_grid_whatever_the_work_took() -> None:
    """Relative sleeps lose the time between computing and sleeping: 42 ms in 12 s at 50 Hz."""
    kernel = Kernel()
    clock = slept(kernel)
    woken = FakeClock()
    clock.now_ns = woken.now_ns  # type: ignore[method-assign]
    ticks = Ticker(50.0, clock, limit=600).ticks()
    for tick in ticks:
        # It wakes a little late, and works a little: neither may move what comes next.
        woken.sleep_until_ns(tick.due_ns + 60_000 + 5_000_000 * (tick.number % 3))
    deadlines = [due_ns for *_, due_ns in kernel.asked]
    assert len(deadlines) == 600
    assert {after - before for before, after in itertools.pairwise(deadlines)} == {SECOND // 50}


def test_a_fake_clock_never_goes_back() -> None:
    clock = FakeClock(10)
    clock.sleep_until_ns(5)
    assert clock.now_ns() == 10
    clock.advance_ns(3)
    clock.sleep_until_ns(20)
    assert clock.now_ns() == 20
