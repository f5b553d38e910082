"""Pictures → patches, in the order and with the numbers of transformers' `Qwen2VLImageProcessor`.

    uint8 (H, W, 3) ─ resize ─▶ (height, width, 3) ─ normalise ─ one strided copy ─▶ patches

A patch row is (channel, temporal slice, patch row, patch column); rows stand merge block by merge
block. NumPy only: this runs on the robot.
"""

from __future__ import annotations

import numpy as np

from neon_edge.engine.manifest import ImageGeometry
from neon_edge.errors import ConfigWrong
from neon_edge.features.resize import Resizer
from neon_edge.features.soft_resize import SoftResizer
from neon_edge.types import Float32, UInt8

_LEVELS = 255.0


class Preprocessor:
    """One geometry, pictures of any size; what a size needs is made at its first picture."""

    def __init__(self, geometry: ImageGeometry) -> None:
        self._geometry = geometry
        self._soft: dict[tuple[int, int], SoftResizer] = {}
        mean = np.asarray(geometry.mean, np.float32)
        std = np.asarray(geometry.std, np.float32)
        self._gain = (np.float32(1.0) / (np.float32(_LEVELS) * std))[:, None, None]
        self._shift = (-mean / std)[:, None, None]
        # Channel by channel, so that every later copy runs along rows of a patch.
        self._planes = np.empty((3, geometry.height, geometry.width), np.float32)
        self._resizers: dict[tuple[int, int], Resizer] = {}

    def fill(self, image: UInt8, out: Float32) -> None:
        """Write one RGB picture (height, width, 3) as patches into `out` (patches, patch_width).

        `out` is a row range of the vision part's own input buffer. Raises `ConfigWrong` where the
        picture is not one.
        """
        geometry = self._geometry
        planes = self._exact_planes(image) if geometry.exact else self._soft_resizer(image)(image)
        merge, patch = geometry.merge, geometry.patch
        down, across = geometry.grid[0] // merge, geometry.grid[1] // merge
        blocks = planes.reshape(3, down, merge, patch, across, merge, patch)
        ordered = blocks.transpose(1, 4, 2, 5, 0, 3, 6)
        target = out.reshape(down, across, merge, merge, 3, geometry.temporal, patch, patch)
        target[:, :, :, :, :, 0] = ordered
        # A still picture is every temporal slice of its patch.
        for part in range(1, geometry.temporal):
            target[:, :, :, :, :, part] = target[:, :, :, :, :, 0]

    def _exact_planes(self, image: UInt8) -> Float32:
        planes = self._planes
        np.multiply(self._resizer(image)(image).transpose(2, 0, 1), self._gain, out=planes)
        np.add(planes, self._shift, out=planes)
        return planes

    def _soft_resizer(self, image: UInt8) -> SoftResizer:
        size = self._checked(image)
        if size not in self._soft:
            target = (self._geometry.height, self._geometry.width)
            gain, shift = self._gain.reshape(3), self._shift.reshape(3)
            self._soft[size] = SoftResizer(size, target, gain, shift)
        return self._soft[size]

    def _resizer(self, image: UInt8) -> Resizer:
        size = self._checked(image)
        if size not in self._resizers:
            target = (self._geometry.height, self._geometry.width)
            self._resizers[size] = Resizer(size, target)
        return self._resizers[size]

    def _checked(self, image: UInt8) -> tuple[int, int]:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise ConfigWrong(
                "this is not a picture",
                f"shape {image.shape}, {image.dtype}",
                "give RGB as (height, width, 3) uint8",
            )
        return image.shape[0], image.shape[1]
