"""A histogram with log-spaced bins: nothing is dropped, and the maximum always stands beside it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct

PER_OCTAVE = 8
"""Bins between one power of two and the next: a bin is 9 % wide."""


class Histogram(Struct, frozen=True):
    """Counts between `edges`, and what lies outside them. `total` = below + sum(counts) + over."""

    unit: str
    edges: list[float]
    counts: list[int]
    below: int
    overflow: int
    total: int
    max: float


def log_histogram(values: npt.NDArray[Any], unit: str, low: float, high: float) -> Histogram:
    """Of (n,) values; `low` and `high` are powers of two, and bins are [edge, next edge).

    Empty bins at both ends are left out, the edges that remain are a run of the full ladder.
    """
    first, last = round(math.log2(low)), round(math.log2(high))
    edges = 2.0 ** (np.arange((last - first) * PER_OCTAVE + 1) / PER_OCTAVE + first)
    places = np.searchsorted(edges, values, side="right")
    counts = np.bincount(places, minlength=len(edges) + 1)
    filled = np.flatnonzero(counts[1:-1])
    start, end = (filled[0], filled[-1] + 1) if len(filled) else (0, 0)
    return Histogram(
        unit=unit,
        edges=[round(float(edge), 6) for edge in edges[start : end + 1]],
        counts=[int(count) for count in counts[1:-1][start:end]],
        below=int(counts[0]),
        overflow=int(counts[-1]),
        total=len(values),
        max=round(float(values.max()), 3) if len(values) else 0.0,
    )


def of_lateness(late_us: npt.NDArray[Any]) -> Histogram:
    """Wake-up lateness, µs: 1 µs to 65.5 ms."""
    return log_histogram(late_us, "µs", 1, 65_536)


def of_feature_age(age_ms: npt.NDArray[Any]) -> Histogram:
    """Feature age, ms: 1 ms to 16.4 s."""
    return log_histogram(age_ms, "ms", 1, 16_384)
