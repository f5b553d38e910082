"""Pictures to a fixed size and normalised in one go, in float32 from end to end.

The filter of `resize` with nothing rounded to whole levels behind either pass. It differs from the
model's own processor by 0.27 levels of 255 in the mean on a real street, and by up to 3 where the
processor cut an overshoot between its passes.
The filter works down first, where fewer numbers are left to part by channel, and the gain of each
channel is folded into the weights of the second pass.
"""

from __future__ import annotations

import numpy as np

from neon_edge.features.resize import Taps
from neon_edge.types import Float32, UInt8

_DOWN_BLOCK = 8
_ACROSS_BLOCK = 16


class SoftResizer:
    """From one size (height, width) to normalised planes; buffers are overwritten by every call."""

    def __init__(
        self, source: tuple[int, int], target: tuple[int, int], gain: Float32, shift: Float32
    ) -> None:
        self._down = Taps(source[0], target[0]).blocks(_DOWN_BLOCK)
        gains = gain.reshape(3, 1, 1)
        self._across = [
            (low, high, np.ascontiguousarray(band.T * gains))
            for low, high, band in Taps(source[1], target[1]).blocks(_ACROSS_BLOCK)
        ]
        self._shift = shift.reshape(3, 1, 1)
        self._white = np.float32(255.0) * gains
        self._source = np.empty((source[0], 3 * source[1]), np.float32)
        self._between = np.empty((target[0], source[1], 3), np.float32)
        self._apart = np.empty((3, target[0], source[1]), np.float32)
        self._planes = np.empty((3, *target), np.float32)

    def __call__(self, image: UInt8) -> Float32:
        """(height, width, 3) → (3, target height, target width): level times gain plus shift."""
        np.copyto(self._source, image.reshape(self._source.shape))
        between = self._between.reshape(len(self._between), -1)
        place = 0
        for low, high, band in self._down:
            until = place + len(band)
            np.matmul(band, self._source[low:high], out=between[place:until])
            place = until
        np.copyto(self._apart, self._between.transpose(2, 0, 1))
        place = 0
        for low, high, bands in self._across:
            until = place + bands.shape[2]
            np.matmul(self._apart[:, :, low:high], bands, out=self._planes[:, :, place:until])
            place = until
        # The filter overshoots at edges; a level ends at black and at white.
        np.clip(self._planes, np.float32(0.0), self._white, out=self._planes)
        self._planes += self._shift
        return self._planes
