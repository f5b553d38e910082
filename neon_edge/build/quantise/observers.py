"""How far an activation's range goes, without looking at what is lost by it: the usual three.

Yardsticks for `smooth.search`, which tries ranges on the products themselves; a recipe may ask for
one of them by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from neon_edge.build.quantise.tokens import quantile
from neon_edge.types import Float32, Float64

Observer = Literal["max", "percentile", "entropy"]

_PERCENTILE = 99.99
_BINS = 2048
_LEVELS = 128
_TINY = 1e-12


def observed(samples: Sequence[Float32], observer: Observer) -> float:
    """Where the range of `samples` (n, inputs) each ends, by magnitude; above 0."""
    return max(_OBSERVERS[observer](samples), 1e-6)


def _max(samples: Sequence[Float32]) -> float:
    return max(float(np.abs(sample).max()) for sample in samples)


def _percentile(samples: Sequence[Float32]) -> float:
    return quantile(samples, _PERCENTILE / 100)


def _entropy(samples: Sequence[Float32]) -> float:
    """The end whose 128 levels say most of the histogram: least Kullback-Leibler divergence.

    NVIDIA, "8-bit Inference with TensorRT" (GTC 2017), slides 31 to 40.
    """
    top = _max(samples) or 1.0
    edges = np.linspace(0, top, _BINS + 1)
    counts = np.zeros(_BINS, np.int64)
    for sample in samples:
        counts += np.histogram(np.abs(sample), bins=_BINS, range=(0, top))[0]
    counts[0] = 0  # What is nearly zero stays zero under any range, and outweighs the rest.
    ends = range(_LEVELS, _BINS + 1, 16)
    if not counts.any():
        return float(edges[-1])
    best = min(ends, key=lambda end: _divergence(counts.astype(np.float64), end))
    return float(edges[best])


def _divergence(counts: Float64, end: int) -> float:
    clipped = counts[:end].copy()
    clipped[-1] += counts[end:].sum()
    if not counts[:end].any():
        return float("inf")
    level = np.arange(end) * _LEVELS // end
    filled = counts[:end] > 0
    held = np.bincount(level, counts[:end], _LEVELS)
    bins = np.maximum(np.bincount(level, filled, _LEVELS), 1)
    coarse = np.where(filled, (held / bins)[level], 0.0)
    p, q = clipped / clipped.sum(), coarse / coarse.sum()
    there = p > 0
    return float((p[there] * np.log(p[there] / np.maximum(q[there], _TINY))).sum())


_OBSERVERS: dict[Observer, Callable[[Sequence[Float32]], float]] = {
    "max": _max,
    "percentile": _percentile,
    "entropy": _entropy,
}
