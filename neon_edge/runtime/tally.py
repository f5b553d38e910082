"""What a run amounts to so far, in memory that does not grow: totals and counts of every row."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from msgspec import structs

from neon_edge.runtime.report import Rows, figures, pass_times, tick_times
from neon_edge.safety.watch import Cause
from neon_edge.telemetry.stats import Durations, Missed
from neon_edge.types import Rung


class Span:
    """The first and the last of many instants, and how many there were."""

    def __init__(self) -> None:
        self._count = 0
        self._first_ns = self._last_ns = 0

    def add(self, stamps_ns: np.ndarray) -> None:
        """Instants that follow those of the last call."""
        if len(stamps_ns) == 0:
            return
        if self._count == 0:
            self._first_ns = int(stamps_ns[0])
        self._last_ns = int(stamps_ns[-1])
        self._count += len(stamps_ns)

    @property
    def rate_hz(self) -> float:
        """How many a second between the first and the last; 0 for fewer than two."""
        span_ns = self._last_ns - self._first_ns
        return round((self._count - 1) * 1e9 / span_ns, 3) if span_ns > 0 else 0.0


class Tally:
    """Counts rows of both rings as they are drained, each once."""

    def __init__(self) -> None:
        self._ticks = self._passes = 0
        self._sums = dict.fromkeys(("clipped", "stale", "scaled", "joint_commands_sent"), 0)
        self._causes = dict.fromkeys(Cause, 0)
        self._missed = Missed()
        self._ran, self._published = Span(), Span()
        self._times: defaultdict[str, Durations] = defaultdict(Durations)
        self._last: Rows | None = None

    @property
    def missed(self) -> int:
        """Periods of the phase grid on which no tick ran, so far."""
        return self._missed.total

    def add(self, ticks: Rows, passes: Rows) -> None:
        """Count new rows."""
        self._passes += len(passes)
        self._published.add(passes["captured_ns"][passes["sequence"] > 0])
        self._time(pass_times(passes))
        self._ticks += len(ticks)
        self._missed.add(ticks)
        self._ran.add(ticks["start_ns"])
        self._time(tick_times(ticks, self._last))
        if len(ticks) == 0:
            return
        self._last = ticks[-1:].copy()
        self._sums["clipped"] += int((ticks["clipped"] > 0).sum())
        self._sums["stale"] += int((ticks["rung"] >= Rung.HOLD).sum())
        self._sums["scaled"] += int((ticks["rung"] == Rung.SCALE).sum())
        self._sums["joint_commands_sent"] += int(ticks["sent"].sum())
        for cause in Cause:
            self._causes[cause] += int((ticks["cause"] == cause).sum())

    def _time(self, times: dict[str, np.ndarray]) -> None:
        for name, values in times.items():
            self._times[name].add(values)

    def counts(self) -> dict[str, Any]:
        """Fields of a `RunReport`: all that rows tell."""
        found = figures({name: times.percentiles() for name, times in self._times.items()})
        return {
            "ticks": self._ticks,
            "missed": self.missed,
            "causes": {
                cause.name.lower(): count
                for cause, count in self._causes.items()
                if count and cause is not Cause.NONE
            },
            "rate_hz": self._ran.rate_hz,
            "backbone_passes": self._passes,
            "features_hz": self._published.rate_hz,
            **self._sums,
            **structs.asdict(found),
        }
