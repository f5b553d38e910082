"""Tokens of many samples, looked at one sample at a time: no array here grows with their number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neon_edge.types import Float32, Int64


def rows_at(samples: Sequence[Float32], places: Int64) -> Float32:
    """Tokens by their place among all of `samples` (n, inputs) each; `places` is sorted."""
    found, first = [], 0
    for sample in samples:
        here = places[(places >= first) & (places < first + len(sample))]
        found.append(sample[here - first])
        first += len(sample)
    return np.concatenate(found)


def spread_rows(samples: Sequence[Float32], count: int) -> Float32:
    """About `count` tokens, evenly spaced over all of `samples`."""
    total = sum(len(sample) for sample in samples)
    return rows_at(samples, np.arange(0, total, max(total // count, 1)))


def drawn_rows(
    samples: Sequence[Float32], largest: int, count: int, chance: np.random.Generator
) -> Float32:
    """The `largest` tokens of all by magnitude, and `count` that chance draws among all."""
    sizes = np.concatenate([np.abs(sample).max(axis=1) for sample in samples])
    drawn = chance.choice(len(sizes), min(count, len(sizes)), replace=False)
    return rows_at(samples, np.unique(np.concatenate([np.argsort(-sizes)[:largest], drawn])))


def quantile(samples: Sequence[Float32], share: float) -> float:
    """Below which `share` of all magnitudes lie, as `np.quantile` says; holds only those above."""
    place = share * (sum(sample.size for sample in samples) - 1)
    above = sum(sample.size for sample in samples) - int(place)
    top = np.zeros(0, np.float32)
    for sample in samples:
        top = np.concatenate([top, np.abs(sample).reshape(-1)])
        if len(top) > above:
            top = np.partition(top, len(top) - above)[-above:].copy()
    low, high = np.sort(top)[[0, min(1, len(top) - 1)]]
    return float(low + (high - low) * (place - int(place)))
