"""Order statistics, rates and gaps of what the rings remember."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

_PER_OCTAVE = 128
"""Bins between one power of two and the next."""
_OCTAVES = 40
_LONGEST_NS = 86_400_000_000_000


class Percentiles(NamedTuple):
    """Half, 99 in 100, 999 in 1000, and all of the values lie at or below these."""

    p50: float
    p99: float
    p999: float
    max: float


def percentiles(values: npt.NDArray[Any]) -> Percentiles:
    """Of (n,) values in any unit, by nearest rank: every figure is a value that occurred.

    Interpolation between ranks would hide the worst case of a short run. NaN for no values.
    """
    if len(values) == 0:
        return Percentiles(np.nan, np.nan, np.nan, np.nan)
    p50, p99, p999 = np.percentile(values, [50, 99, 99.9], method="higher")
    return Percentiles(float(p50), float(p99), float(p999), float(np.max(values)))


def rate_hz(stamps_ns: npt.NDArray[np.int64]) -> float:
    """Events a second between the first and the last of (n,) instants; 0 for fewer than two."""
    if len(stamps_ns) < 2:
        return 0.0
    span_ns = int(stamps_ns.max()) - int(stamps_ns.min())
    return (len(stamps_ns) - 1) * 1e9 / span_ns if span_ns else 0.0


class Durations:
    """Counts of durations in bins that are less than 1 % wide: hours cost what seconds do.

    A percentile is the top of its bin, so it never understates and adds less than 1 %; below 256 ns
    and at the maximum it is exact.
    """

    def __init__(self) -> None:
        self._counts = np.zeros((_OCTAVES + 2) * _PER_OCTAVE, np.int64)
        self._max = 0

    def add(self, nanoseconds: npt.NDArray[np.int64]) -> None:
        """Count (n,) durations; what is negative counts as 0, what exceeds a day as a day."""
        if len(nanoseconds) == 0:
            return
        values = np.clip(nanoseconds, 0, _LONGEST_NS)
        self._max = max(self._max, int(values.max()))
        places = _place(values)
        filled, counts = np.unique(places, return_counts=True)
        self._counts[filled] += counts

    def percentiles(self) -> Percentiles:
        """In ns, by nearest rank; NaN where nothing was counted."""
        upto = np.cumsum(self._counts)
        total = int(upto[-1])
        if total == 0:
            return Percentiles(np.nan, np.nan, np.nan, np.nan)
        ranks = np.ceil(np.array([0.5, 0.99, 0.999]) * (total - 1))
        tops = np.minimum(_top(np.searchsorted(upto, ranks, side="right")), self._max)
        p50, p99, p999 = tops.tolist()
        return Percentiles(p50, p99, p999, self._max)


def _place(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The bin of each value: its highest 8 bits, and how many bits lie below them."""
    _, bits = np.frexp(values.astype(np.float64))
    below = np.maximum(bits.astype(np.int64) - _PER_OCTAVE.bit_length(), 0)
    places: npt.NDArray[np.int64] = below * _PER_OCTAVE + (values >> below)
    return places


def _top(places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The largest value of each bin."""
    below = np.maximum(places // _PER_OCTAVE - 1, 0)
    tops: npt.NDArray[np.int64] = ((places - below * _PER_OCTAVE + 1) << below) - 1
    return tops


class Missed:
    """Counts periods of the phase grid on which no tick ran, from rows as they come."""

    def __init__(self) -> None:
        self._number = -1
        self._row = 0
        self.total = 0

    def add(self, rows: npt.NDArray[np.void]) -> None:
        """Rows of the tick ring, which follow those of the last call."""
        if len(rows) == 0:
            return
        numbers = rows["number"]
        before = np.append(self._number, numbers[:-1])
        # A control process that was started again counts from 0 again, on a grid of its own.
        gaps = numbers - np.where(numbers > before, before, -1) - 1
        # A row that the ring overwrote before it was read was a tick all the same.
        unread = np.diff(rows["row"].astype(np.int64), prepend=self._row) - 1
        self.total += int(np.maximum(gaps - np.maximum(unread, 0), 0).sum())
        self._number, self._row = int(numbers[-1]), int(rows["row"][-1])
