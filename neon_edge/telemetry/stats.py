"""Order statistics and rates of what the rings remember."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


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


def missed(numbers: npt.NDArray[np.int64]) -> int:
    """How many numbers between the first and the last of (n,) tick numbers never came."""
    if len(numbers) == 0:
        return 0
    return int(numbers.max()) - int(numbers.min()) + 1 - len(numbers)
