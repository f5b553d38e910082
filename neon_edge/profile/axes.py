"""From figures to places on a picture: linear and logarithmic axes, and where their marks stand."""

from __future__ import annotations

import math
from typing import NamedTuple


class Axis(NamedTuple):
    """`low`…`high` in the figure's unit onto `start`…`end` in pixels; `log` for equal ratios."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """Pixels; what lies outside stands at the nearer end."""
        if self.log:
            share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)


def round_marks(high: float, wanted: int = 4) -> list[float]:
    """About `wanted` round numbers from 0 up to `high` or just below it: steps of 1, 2 or 5."""
    rough = high / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    return [round(number * step, 9) for number in range(math.floor(high / step + 1e-9) + 1)]


def decade_marks(high: float) -> list[float]:
    """1, 10, 100 … up to `high`."""
    return [10.0**power for power in range(math.floor(math.log10(max(1.0, high)) + 1e-9) + 1)]


def octave_marks(low: float, high: float, most: int = 12) -> list[float]:
    """Powers of two within `low`…`high`: every second or third if many, halfway ones if few."""
    first = math.ceil(math.log2(low) - 1e-6)
    last = math.floor(math.log2(high) + 1e-6)
    step = max(1, -(-(last - first + 1) // most))
    marks = [2.0**power for power in range(first, last + 1, step)]
    if len(marks) * 2 <= most:
        marks += [mark * 1.5 for mark in (2.0 ** (first - 1), *marks)]
    return sorted(mark for mark in marks if low <= mark <= high)


def figure(value: float) -> str:
    """A number for people: three digits that matter, thousands apart."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", "\u202f")
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(decimals, 3)}f}"
