"""When to tick: absolute deadlines on a grid that no late tick moves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from neon_edge.clock import Clock


class Tick(NamedTuple):
    """One turn of the loop: its number on the phase grid, when it was due, when it began."""

    number: int
    due_ns: int
    start_ns: int


class Ticker:
    """Absolute deadlines: a late tick never moves the next, and whole missed periods are skipped.

    A tick that starts less than a period late runs at once; the grid stays where it was
    (ros2_control `controller_manager/src/sleeping_policies.cpp`).
    """

    def __init__(self, rate_hz: float, clock: Clock, limit: int | None = None) -> None:
        self.period_ns = round(1e9 / rate_hz)
        self._clock = clock
        self._limit = limit
        self._origin_ns = 0
        self._number = 0
        self.stopping = False
        """Set from a signal; the tick under way is finished."""

    def ticks(self) -> Iterator[Tick]:
        """Yield ticks until `limit` periods have passed or `stopping` is set."""
        self._origin_ns = self._clock.now_ns() + self.period_ns
        self._number = 0
        while not self.stopping and (self._limit is None or self._number < self._limit):
            yield self._awaited()
            self._advance()

    def linger(self, periods: int) -> Iterator[Tick]:
        """Go on for so many periods behind the last of `ticks`, on the same grid."""
        end = self._number + periods
        while self._number < end:
            yield self._awaited()
            self._advance()

    def _awaited(self) -> Tick:
        self._clock.sleep_until_ns(self._origin_ns + self._number * self.period_ns)
        start_ns = self._clock.now_ns()
        # Woken whole periods late, this is the tick of the period that is now.
        self._number = max(self._number, (start_ns - self._origin_ns) // self.period_ns)
        return Tick(self._number, self._origin_ns + self._number * self.period_ns, start_ns)

    def _advance(self) -> None:
        now = (self._clock.now_ns() - self._origin_ns) // self.period_ns
        self._number = max(self._number + 1, now)
