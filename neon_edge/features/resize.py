"""Pictures to a fixed size, bit for bit as Pillow's antialiased bicubic filter, in NumPy.

The filter works across, then down, and rounds to whole levels behind each pass, with weights in
22-bit fixed point (python-pillow/Pillow `src/libImaging/Resample.c`). Here a pass is a product with
a banded matrix in float32, done in blocks of outputs that touch only the inputs they need. Float32
is too coarse where a sum falls on the edge between two levels; those few are summed again in
integers.
"""

from __future__ import annotations

import numpy as np

from neon_edge.types import Float32, Float64, Int64, UInt8

_A = -0.5
"""Of the Keys cubic kernel: Pillow's and torchvision's (antialiased) choice."""

_REACH = 2.0
FRACTION_BITS = 22
"""Of weights."""
_BLOCK = 8
_WIDE_BLOCK = 16
"""Outputs in a product: more waste zeros of the band, fewer starve the product of work."""

_ONE = 1 << FRACTION_BITS


class Taps:
    """The filter from `source` to `target` samples along one axis, in fixed point.

    Of the outputs, only the run that is to be kept.
    """

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
        self.weights: Int64 = self._fixed(weights)[keep]
        self.first: Int64 = first[keep]
        # Taps behind the last sample weigh nothing and must still be read from somewhere.
        self.places: Int64 = np.minimum(place[keep], source - 1)
        # Bound of a float32 sum's error, in levels: each of its terms is rounded twice.
        self.doubt = np.float32(self.count * 255 * 2.0**-23)

    def _reach(self) -> float:
        """Of the kernel, in samples."""
        return _REACH

    def _kernel(self, x: Float64) -> Float64:
        return cubic(x)

    def _fixed(self, weights: Float64) -> Int64:
        """In units of 2 to the minus `FRACTION_BITS`."""
        return np.floor(weights * _ONE + 0.5).astype(np.int64)

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
        levels: Float32 = np.clip(sums >> FRACTION_BITS, 0, 255).astype(np.float32)
        return levels


class Resizer:
    """From one size to another, both (height, width). Its buffers are overwritten by every call.

    `taps` are those of rows and columns where they are not all of Pillow's bicubic filter's.
    """

    def __init__(
        self,
        source: tuple[int, int],
        target: tuple[int, int],
        taps: tuple[Taps, Taps] | None = None,
    ) -> None:
        self._rows, self._columns = taps or (
            Taps(source[0], target[0]),
            Taps(source[1], target[1]),
        )
        self._across = [
            (low, high, np.ascontiguousarray(band.T))
            for low, high, band in self._columns.blocks(_WIDE_BLOCK)
        ]
        self._down = self._rows.blocks()
        # Channels lie apart for the filter across, and side by side in a row for the one down.
        self._source = np.empty((3, *source), np.float32)
        self._between = np.empty((source[0], 3 * target[1]), np.float32)
        self._result = np.empty((target[0], 3 * target[1]), np.float32)
        self._levels = np.empty_like(max(self._between, self._result, key=len))

    def __call__(self, image: UInt8) -> Float32:
        """Resize (height, width, 3) to (target height, target width, 3): whole levels 0 to 255."""
        np.copyto(self._source, image.transpose(2, 0, 1))
        self._filter_across(image)
        self._filter_down()
        resized: Float32 = self._result.reshape(len(self._result), 3, -1).transpose(0, 2, 1)
        return resized

    def _filter_across(self, image: UInt8) -> None:
        apart = self._between.reshape(len(image), 3, -1).transpose(1, 0, 2)
        place = 0
        for low, high, band in self._across:
            until = place + band.shape[1]
            np.matmul(self._source[:, :, low:high], band, out=apart[:, :, place:until])
            place = until
        row, column = self._to_levels(self._between, self._columns.doubt)
        channel, pixel = np.divmod(column, len(self._columns.places))
        places = self._columns.places[pixel]
        samples = image[row[:, None], places, channel[:, None]]
        self._between[row, column] = self._columns.exact(samples, pixel)

    def _filter_down(self) -> None:
        place = 0
        for low, high, band in self._down:
            until = place + len(band)
            np.matmul(band, self._between[low:high], out=self._result[place:until])
            place = until
        row, column = self._to_levels(self._result, self._rows.doubt)
        samples = self._between[self._rows.places[row], column[:, None]].astype(np.uint8)
        self._result[row, column] = self._rows.exact(samples, row)

    def _to_levels(self, values: Float32, doubt: np.float32) -> tuple[Int64, Int64]:
        """Round in place; return where a value was so near an edge that it may be wrong."""
        levels = self._levels[: len(values)]
        np.rint(values, out=levels)
        values -= levels
        np.abs(values, out=values)
        unsure: Int64 = np.flatnonzero(values > np.float32(0.5) - doubt)
        np.clip(levels, 0.0, 255.0, out=values)
        return np.divmod(unsure, values.shape[1])


def cubic(x: Float64) -> Float64:
    """Keys' kernel."""
    x = np.abs(x)
    near = ((_A + 2.0) * x - (_A + 3.0)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * _A
    return np.where(x < 1.0, near, np.where(x < _REACH, far, 0.0))
