"""The middle of a picture as transformers' `VJEPA2VideoProcessor` cuts it out, in NumPy.

    picture ─ short side to 256 / 224 of the crop, bilinear ─▶ middle ─▶ ImageNet's mean, deviation

The filter is that of torch's `interpolate` on 8-bit pictures, which torchvision's `resize` calls:
Pillow's bilinear filter with weights in as many bits as fit 16 (pytorch/pytorch
`aten/src/ATen/native/cpu/UpSampleKernel.cpp`, `compute_index_ranges_int16_weights`), rounded to
whole levels behind each pass. Outputs outside the crop are never computed.
"""

from __future__ import annotations

import numpy as np

from neon_edge.engine.geometry import ImageGeometry
from neon_edge.errors import ConfigWrong
from neon_edge.features.resize import Resizer, Taps
from neon_edge.types import Float32, UInt8

_BITS = 22
"""Of the weights that `Taps` sums in."""


class BilinearTaps(Taps):
    """Torch's 8-bit bilinear filter along one axis, for the run of outputs that is kept."""

    def __init__(self, source: int, target: int, keep: slice) -> None:
        scale = source / target
        stretch = max(scale, 1.0)
        centre = (np.arange(target) + 0.5) * scale
        first = np.maximum((centre - stretch + 0.5).astype(np.int64), 0)
        last = np.minimum((centre + stretch + 0.5).astype(np.int64), source)
        self.count = int((last - first).max())
        place = first[:, None] + np.arange(self.count)
        weights = np.maximum(0.0, 1.0 - np.abs((place + 0.5 - centre[:, None]) / stretch))
        weights[place >= last[:, None]] = 0.0
        weights /= weights.sum(axis=1, keepdims=True)
        bits = _fit_16_bits(float(weights.max()))
        whole = np.floor(weights[keep] * (1 << bits) + 0.5).astype(np.int64)
        # The same weights with zeros behind: a sum is rounded at the same place.
        self.weights = whole << (_BITS - bits)
        self.first = first[keep]
        # Taps behind the last sample weigh nothing and must still be read from somewhere.
        self.places = np.minimum(place[keep], source - 1)
        # Bound of a float32 sum's error, in levels: each of its terms is rounded twice.
        self.doubt = np.float32(self.count * 255 * 2.0**-23)


def _fit_16_bits(largest: float) -> int:
    for bits in range(_BITS):
        if int(0.5 + largest * (1 << (bits + 1))) >= 1 << 15:
            return bits
    return _BITS


def resized_size(height: int, width: int, crop: int) -> tuple[int, int]:
    """(height, width) of the whole picture before its middle is cut out."""
    short = int(crop * 256 / 224)
    long = int(short * max(height, width) / min(height, width))
    return (long, short) if width <= height else (short, long)


class Middle:
    """Pictures of any size → normalised planes (3, crop, crop)."""

    def __init__(self, geometry: ImageGeometry) -> None:
        self._crop = geometry.height
        std = np.asarray(geometry.std, np.float32)
        self._gain = (np.float32(1.0) / (np.float32(255.0) * std))[:, None, None]
        self._shift = (-np.asarray(geometry.mean, np.float32) / std)[:, None, None]
        self._resizers: dict[tuple[int, int], Resizer] = {}

    def fill(self, image: UInt8, out: Float32) -> None:
        """Write one RGB picture (height, width, 3) into `out` (3, crop, crop).

        Raises `ConfigWrong` where the picture is not one.
        """
        np.multiply(self._resizer(image)(image).transpose(2, 0, 1), self._gain, out=out)
        np.add(out, self._shift, out=out)

    def _resizer(self, image: UInt8) -> Resizer:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise ConfigWrong(
                "this is not a picture",
                f"shape {image.shape}, {image.dtype}",
                "give RGB as (height, width, 3) uint8",
            )
        size = (image.shape[0], image.shape[1])
        if size not in self._resizers:
            target = resized_size(*size, self._crop)
            rows, columns = (
                BilinearTaps(given, wanted, self._kept(wanted))
                for given, wanted in zip(size, target, strict=True)
            )
            crop = (self._crop, self._crop)
            self._resizers[size] = Resizer(size, crop, (rows, columns))
        return self._resizers[size]

    def _kept(self, side: int) -> slice:
        first = (side - self._crop) // 2
        return slice(first, first + self._crop)
