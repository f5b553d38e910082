"""The tick on a fake clock: never a burst, never backwards, every missed period counted."""

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from neon_edge.clock import FakeClock
from neon_edge.runtime.loop import Tick, Ticker, control_loop

PERIOD = 20_000_000


def test_a_stall_of_seventy_milliseconds_skips_whole_periods_and_keeps_the_grid() -> None:
    clock = FakeClock()
    ticker = Ticker(50.0, clock, limit=10)
    seen = []
    for tick in ticker.ticks():
        seen.append(tick)
        clock.advance_ns(70_000_000 if tick.number == 3 else 1_000_000)
    assert [tick.number for tick in seen] == [0, 1, 2, 3, 6, 7, 8, 9]
    assert {(tick.due_ns - seen[0].due_ns) % PERIOD for tick in seen} == {0}
    # 70 ms into period 3 is half-way through period 6: that tick runs at once, late by 10 ms.
    assert seen[4].start_ns - seen[4].due_ns == 10_000_000


def test_late_by_less_than_a_period_skips_nothing() -> None:
    clock = FakeClock()
    ticker = Ticker(50.0, clock, limit=5)
    numbers = []
    for tick in ticker.ticks():
        numbers.append(tick.number)
        clock.advance_ns(20_200_000 if tick.number == 1 else 1_000_000)
    assert numbers == [0, 1, 2, 3, 4]


def test_sixty_thousand_ticks_with_stalls_never_burst() -> None:
    chance = random.Random(7)
    clock = FakeClock()
    ticker = Ticker(50.0, clock, limit=60_000)
    previous = None
    ran = 0
    for tick in ticker.ticks():
        ran += 1
        assert tick.start_ns >= tick.due_ns
        assert tick.start_ns - tick.due_ns < PERIOD
        if previous is not None:
            assert tick.number > previous.number
            # Two ticks may be closer than a period by what the first was late, and no more.
            late = previous.start_ns - previous.due_ns
            assert tick.start_ns - previous.start_ns >= PERIOD - late
        previous = tick
        clock.advance_ns(chance.choice([500_000] * 50 + [25_000_000, 90_000_000]))
    assert previous is not None
    assert ran + (previous.number + 1 - ran) == previous.number + 1
    assert ran < 60_000


@given(st.lists(st.integers(0, 200_000_000), min_size=1, max_size=60))
def test_every_period_is_run_or_missed_whatever_the_work_takes(work: list[int]) -> None:
    clock = FakeClock()
    ticker = Ticker(50.0, clock, limit=len(work))
    origin = None
    numbers = []
    for tick in ticker.ticks():
        origin = tick.due_ns - tick.number * PERIOD if origin is None else origin
        assert tick.due_ns == origin + tick.number * PERIOD
        numbers.append(tick.number)
        clock.advance_ns(work[tick.number])
    assert numbers == sorted(set(numbers))


class SleepyClock(FakeClock):
    """Wakes late once, as a starved process does."""

    def __init__(self, oversleeps: dict[int, int]) -> None:
        super().__init__()
        self._oversleeps = oversleeps
        self._sleeps = -1

    def sleep_until_ns(self, due_ns: int) -> None:
        super().sleep_until_ns(due_ns)
        self._sleeps += 1
        self.advance_ns(self._oversleeps.get(self._sleeps, 0))


def test_waking_more_than_a_period_late_skips_and_never_bursts() -> None:
    clock = SleepyClock({2: 22_000_000, 5: 61_000_000})
    seen = []
    for tick in Ticker(50.0, clock, limit=12).ticks():
        seen.append(tick)
        clock.advance_ns(1_000_000)
    assert [tick.number for tick in seen] == [0, 1, 3, 4, 5, 9, 10, 11]
    starts = [tick.start_ns for tick in seen]
    assert min(b - a for a, b in itertools.pairwise(starts)) >= PERIOD - 2_000_000
    assert all(tick.start_ns - tick.due_ns < PERIOD for tick in seen)


def test_a_stop_request_finishes_the_tick_under_way() -> None:
    clock = FakeClock()
    ticker = Ticker(50.0, clock)
    calls: list[str] = []

    class Stages:
        def read(self) -> str:
            calls.append("read")
            return "joints"

        def latest(self) -> str:
            calls.append("latest")
            return "features"

        def decide(self, features: str, joints: str, tick: Tick) -> str:
            calls.append("decide")
            assert (features, joints) == ("features", "joints")
            return "setpoint"

        def make_safe(self, setpoint: str, joints: str, features: str, at_ns: int) -> str:
            calls.append("make_safe")
            ticker.stopping = True
            return "command"

        def write(self, command: str) -> int:
            calls.append(f"write {command}")
            return 29

        def record(self, tick: object, joints: str, command: str, sent: int) -> None:
            calls.append(f"record {sent}")

    control_loop(ticker, Stages())  # type: ignore[arg-type]
    assert calls == ["read", "latest", "decide", "make_safe", "write command", "record 29"]
