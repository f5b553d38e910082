"""Torch's antialiased filters on 8-bit pictures, which torchvision's `resize` calls.

Pillow's filters with weights in as many bits as fit 16 (pytorch/pytorch
`aten/src/ATen/native/cpu/UpSampleKernel.cpp`, `compute_index_ranges_int16_weights`), rounded to
whole levels behind each pass.
"""

from __future__ import annotations

import numpy as np

from neon_edge.features.resize import FRACTION_BITS, Taps
from neon_edge.types import Float64, Int64


class BicubicTaps(Taps):
    """Keys' cubic kernel, in as many bits as fit 16."""

    def _fixed(self, weights: Float64) -> Int64:
        bits = _fit_16_bits(float(weights.max()))
        scaled = weights * (1 << bits)
        whole = np.trunc(scaled + np.copysign(0.5, scaled)).astype(np.int64)
        # The same weights with zeros behind: a sum is rounded at the same place.
        return whole << (FRACTION_BITS - bits)


class BilinearTaps(BicubicTaps):
    """The same with a triangle."""

    def _reach(self) -> float:
        return 1.0

    def _kernel(self, x: Float64) -> Float64:
        return np.maximum(0.0, 1.0 - np.abs(x))


def _fit_16_bits(largest: float) -> int:
    for bits in range(FRACTION_BITS):
        if int(0.5 + largest * (1 << (bits + 1))) >= 1 << 15:
            return bits
    return FRACTION_BITS
