"""The middle of a picture as transformers' `VJEPA2VideoProcessor` cuts it out, in NumPy.

    picture ─ short side to 256 / 224 of the crop, bilinear ─▶ middle ─▶ ImageNet's mean, deviation

The filter is torch's on 8-bit pictures. Outputs outside the crop are never computed.
"""

from __future__ import annotations

import numpy as np

from neon_edge.engine.geometry import ImageGeometry
from neon_edge.errors import ConfigWrong
from neon_edge.features.resize import Resizer
from neon_edge.features.torch_taps import BilinearTaps
from neon_edge.types import Float32, UInt8


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
