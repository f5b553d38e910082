"""Torch's antialiased filters on 8-bit pictures, which torchvision's `resize` calls.

Pillow's filters with weights in as many bits as fit 16 (pytorch/pytorch
`aten/src/ATen/native/cpu/UpSampleKernel.cpp`, `compute_index_ranges_int16_weights`), rounded to
whole levels behind each pass.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from neon_edge.features.resize import REACH, Taps, cubic

_BITS = 22
"""Of the weights that `Taps` sums in."""


class BicubicTaps(Taps):
    """From `source` to `target` samples along one axis, for the run of outputs that is kept."""

    def __init__(self, source: int, target: int, keep: slice = slice(None)) -> None:
        scale, reach = source / target, self._reach()
        stretch = max(scale, 1.0)
        centre = (np.arange(target) + 0.5) * scale
        first = np.maximum((centre - reach * stretch + 0.5).astype(np.int64), 0)
        last = np.minimum((centre + reach * stretch + 0.5).astype(np.int64), source)
        self.count = int((last - first).max())
        place = first[:, None] + np.arange(self.count)
        weights = self._kernel((place + 0.5 - centre[:, None]) / stretch)
        weights[place >= last[:, None]] = 0.0
        weights /= weights.sum(axis=1, keepdims=True)
        bits = _fit_16_bits(float(weights.max()))
        scaled = weights[keep] * (1 << bits)
        whole = np.trunc(scaled + np.copysign(0.5, scaled)).astype(np.int64)
        # The same weights with zeros behind: a sum is rounded at the same place.
        self.weights = whole << (_BITS - bits)
        self.first = first[keep]
        # Taps behind the last sample weigh nothing and must still be read from somewhere.
        self.places = np.minimum(place[keep], source - 1)
        # Bound of a float32 sum's error, in levels: each of its terms is rounded twice.
        self.doubt = np.float32(self.count * 255 * 2.0**-23)

    def _reach(self) -> float:
        return REACH

    def _kernel(self, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return cubic(x)


class BilinearTaps(BicubicTaps):
    """The same with a triangle."""

    def _reach(self) -> float:
        return 1.0

    def _kernel(self, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.maximum(0.0, 1.0 - np.abs(x))


def _fit_16_bits(largest: float) -> int:
    for bits in range(_BITS):
        if int(0.5 + largest * (1 << (bits + 1))) >= 1 << 15:
            return bits
    return _BITS
