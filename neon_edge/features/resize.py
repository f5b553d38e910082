"""Pictures to a fixed size, bit for bit as Pillow's antialiased bicubic filter, in NumPy.

The filter works across, then down, and rounds to whole levels behind each pass, with weights in
22-bit fixed point (python-pillow/Pillow `src/libImaging/Resample.c`). Here a pass is a product with
a banded matrix in float32, done in blocks of outputs that touch only the inputs they need. Float32
is too coarse where a sum falls on the edge between two levels; those few are summed again in
integers.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from neon_edge.types import Float32, Int64, UInt8

_A = -0.5
"""Of the Keys cubic kernel: Pillow's and torchvision's (antialiased) choice."""

_REACH = 2.0
_FRACTION_BITS = 22
_BLOCK = 8
_ONE = 1 << _FRACTION_BITS


class Taps:
    """The filter from `source` to `target` samples along one axis, in fixed point."""

    def __init__(self, source: int, target: int) -> None:
        scale = source / target
        stretch = max(scale, 1.0)
        centre = (np.arange(target) + 0.5) * scale
        self.first = np.maximum((centre - _REACH * stretch + 0.5).astype(np.int64), 0)
        last = np.minimum((centre + _REACH * stretch + 0.5).astype(np.int64), source)
        self.count = int((last - self.first).max())
        place = self.first[:, None] + np.arange(self.count)
        weights = _cubic((place + 0.5 - centre[:, None]) / stretch)
        weights[place >= last[:, None]] = 0.0
        weights /= weights.sum(axis=1, keepdims=True)
        self.weights: Int64 = np.floor(weights * _ONE + 0.5).astype(np.int64)
        # Taps behind the last sample weigh nothing and must still be read from somewhere.
        self.places: Int64 = np.minimum(place, source - 1)
        # Bound of a float32 sum's error, in levels: each of its terms is rounded twice.
        self.doubt = np.float32(self.count * 255 * 2.0**-23)

    def blocks(self, size: int = _BLOCK) -> list[tuple[int, int, Float32]]:
        """Runs of `size` outputs: where their inputs begin and end, and the weights between."""
        blocks = []
        for start in range(0, len(self.weights), size):
            places = self.places[start : start + size]
            low, high = int(places.min()), int(places.max()) + 1
            band = np.zeros((len(places), high - low))
            rows = np.arange(len(places))[:, None]
            np.add.at(band, (rows, places - low), self.weights[start : start + size])
            blocks.append((low, high, (band / _ONE).astype(np.float32)))
        return blocks

    def exact(self, samples: UInt8, outputs: Int64) -> Float32:
        """Levels of `outputs` (n,) in integers, from their taps' `samples` (n, count)."""
        sums = (self.weights[outputs] * samples).sum(axis=1) + (_ONE >> 1)
        levels: Float32 = np.clip(sums >> _FRACTION_BITS, 0, 255).astype(np.float32)
        return levels


class Resizer:
    """From one size to another, both (height, width). Its buffers are overwritten by every call."""

    def __init__(self, source: tuple[int, int], target: tuple[int, int]) -> None:
        self._columns = Taps(source[1], target[1])
        self._rows = Taps(source[0], target[0])
        # Channels stay interleaved, so the filter across acts on every third number.
        self._across = [
            (3 * low, 3 * high, np.kron(band.T, np.eye(3, dtype=np.float32)))
            for low, high, band in self._columns.blocks()
        ]
        self._down = self._rows.blocks()
        self._source = np.empty((source[0], 3 * source[1]), np.float32)
        self._between = np.empty((source[0], 3 * target[1]), np.float32)
        self._result = np.empty((target[0], 3 * target[1]), np.float32)

    def __call__(self, image: UInt8) -> Float32:
        """Resize (height, width, 3) to (target height, target width, 3): whole levels 0 to 255."""
        np.copyto(self._source, image.reshape(self._source.shape))
        self._filter_across(image)
        self._filter_down()
        return self._result.reshape(len(self._result), -1, 3)

    def _filter_across(self, image: UInt8) -> None:
        place = 0
        for low, high, band in self._across:
            until = place + band.shape[1]
            np.matmul(self._source[:, low:high], band, out=self._between[:, place:until])
            place = until
        row, column = _to_levels(self._between, self._columns.doubt)
        pixel, channel = np.divmod(column, 3)
        places = self._columns.places[pixel]
        samples = image[row[:, None], places, channel[:, None]]
        self._between[row, column] = self._columns.exact(samples, pixel)

    def _filter_down(self) -> None:
        place = 0
        for low, high, band in self._down:
            until = place + len(band)
            np.matmul(band, self._between[low:high], out=self._result[place:until])
            place = until
        row, column = _to_levels(self._result, self._rows.doubt)
        samples = self._between[self._rows.places[row], column[:, None]].astype(np.uint8)
        self._result[row, column] = self._rows.exact(samples, row)


def _to_levels(values: Float32, doubt: np.float32) -> tuple[Int64, Int64]:
    """Round to levels in place; return where a value was so near an edge that it may be wrong."""
    levels = np.rint(values)
    values -= levels
    np.abs(values, out=values)
    unsure: Int64 = np.flatnonzero(values > np.float32(0.5) - doubt)
    np.clip(levels, 0.0, 255.0, out=values)
    return np.divmod(unsure, values.shape[1])


def _cubic(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    x = np.abs(x)
    near = ((_A + 2.0) * x - (_A + 3.0)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * _A
    return np.where(x < 1.0, near, np.where(x < _REACH, far, 0.0))
