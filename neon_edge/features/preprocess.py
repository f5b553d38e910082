"""Pictures → patches, in the order and with the numbers of transformers' `Qwen2VLImageProcessor`.

Frames of a video are prepared as `Qwen2VLVideoProcessor` does: by torch's filter in place of
Pillow's, and a pair of them in one patch.

    uint8 (H, W, 3) ─ resize ─▶ (height, width, 3) ─ normalise ─ one strided copy ─▶ patches

A patch row is (channel, temporal slice, patch row, patch column); rows stand merge block by merge
block. NumPy only: this runs on the robot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from neon_edge.engine.manifest import ImageGeometry
from neon_edge.errors import ConfigWrong
from neon_edge.features.resize import Resizer
from neon_edge.features.soft_resize import SoftResizer
from neon_edge.features.torch_taps import BicubicTaps
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
        self._planes = np.empty((3, geometry.merge * geometry.patch, geometry.width), np.float32)
        self._resizers: dict[tuple[int, int], Resizer] = {}

    def fill_pass(self, images: Sequence[UInt8], out: Float32) -> None:
        """Write all pictures of a pass into `out` (steps * patches, patch_width).

        Raises `ConfigWrong` where a picture is not one.
        """
        rows, depth = self._geometry.patches, self._geometry.depth
        for index, image in enumerate(images):
            step, place = divmod(index, depth)
            self.fill(image, out[step * rows : (step + 1) * rows], place)

    def fill(self, image: UInt8, out: Float32, place: int = 0) -> None:
        """Write one RGB picture (height, width, 3) as patches into `out` (patches, patch_width).

        `out` is a row range of the vision part's own input buffer; of a video, `place` says which
        of the frames that share it this one is. Raises `ConfigWrong` where the picture is not one.
        """
        geometry = self._geometry
        merge, patch = geometry.merge, geometry.patch
        down, across = geometry.grid[0] // merge, geometry.grid[1] // merge
        target = out.reshape(down, across, merge, merge, 3, geometry.temporal, patch, patch)
        levels = self._levels(image)
        # A row of merged patches at a time: it is read again while the cache still holds it.
        for band in range(down):
            planes = self._normalised(levels(band))
            blocks = planes.reshape(3, merge, patch, across, merge, patch)
            first = target[band, :, :, :, :, place]
            first[:] = blocks.transpose(3, 1, 4, 0, 2, 5)
            # A still picture is every temporal slice of its patch.
            for part in range(1, geometry.temporal // geometry.depth):
                target[band, :, :, :, :, part] = first

    def _levels(self, image: UInt8) -> Callable[[int], UInt8 | Float32]:
        """What gives a row of merged patches of the resized picture, (3, rows, width)."""
        geometry = self._geometry
        rows = geometry.merge * geometry.patch
        if self._checked(image) == (geometry.height, geometry.width):
            # To its own size a resize is a copy, in Pillow as here.
            whole: UInt8 | Float32 = image
        elif geometry.exact:
            whole = self._resizer(image)(image)
        else:
            soft = self._soft_resizer(image, rows)
            return lambda band: soft.band(image, band)
        planes = whole.transpose(2, 0, 1)
        return lambda band: planes[:, band * rows : (band + 1) * rows]

    def _normalised(self, levels: UInt8 | Float32) -> Float32:
        np.copyto(self._planes, levels)
        self._planes *= self._gain
        self._planes += self._shift
        return self._planes

    def _soft_resizer(self, image: UInt8, rows: int) -> SoftResizer:
        size = image.shape[:2]
        if size not in self._soft:
            target = (self._geometry.height, self._geometry.width)
            self._soft[size] = SoftResizer(size, target, rows)
        return self._soft[size]

    def _resizer(self, image: UInt8) -> Resizer:
        size = image.shape[:2]
        if size not in self._resizers:
            height, width = self._geometry.height, self._geometry.width
            film = (BicubicTaps(size[0], height), BicubicTaps(size[1], width))
            taps = film if self._geometry.video_fps else None
            self._resizers[size] = Resizer(size, (height, width), taps)
        return self._resizers[size]

    def _checked(self, image: UInt8) -> tuple[int, ...]:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise ConfigWrong(
                "this is not a picture",
                f"shape {image.shape}, {image.dtype}",
                "give RGB as (height, width, 3) uint8",
            )
        return image.shape[:2]
