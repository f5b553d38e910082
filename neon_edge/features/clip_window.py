"""A rolling window of pictures, prepared once each, as V-JEPA2's flat patches.

pictures ─ every 1 / window_hz ─▶ | t-3 | t-2 | t-1 | t | ─▶ (tokens, patch width)
"""

from __future__ import annotations

import numpy as np

from neon_edge.engine.geometry import ImageGeometry
from neon_edge.errors import ConfigWrong
from neon_edge.features.middle import Middle
from neon_edge.types import CameraFrame, Float32

_NS = 1_000_000_000


class ClipWindow:
    """Until as many pictures have come as the window holds, the first stands for those before."""

    def __init__(self, geometry: ImageGeometry, window_hz: float) -> None:
        self._geometry = geometry
        self._middle = Middle(geometry)
        self._apart_ns = round(_NS / window_hz)
        side = geometry.height
        self._planes = np.zeros((geometry.count, 3, side, side), np.float32)
        self._filled = False
        self.newest_ns = 0
        """When the window's newest picture was taken."""

    def see(self, frames: list[CameraFrame]) -> bool:
        """Take in a camera's newest picture if its turn has come, or a whole window at once.

        True if the window changed. Raises `ConfigWrong` where a picture is none, and then the
        window is what it was.
        """
        if len(frames) == self._geometry.count > 1:
            self._fill(frames)
            return True
        if len(frames) != 1:
            raise ConfigWrong(
                "this backbone watches one camera",
                f"{len(frames)} pictures; its window holds {self._geometry.count}",
                "give one [[cameras]] in the robot file",
            )
        return self._roll(frames[0])

    def forget(self) -> None:
        """What comes next begins a new window: no motion is seen across a gap."""
        self._filled = False

    def fill(self, out: Float32) -> None:
        """Write patches (tokens, patch width): by tubelet, row, column; colour, frame inside."""
        geometry = self._geometry
        down, across = geometry.grid
        patch, temporal = geometry.patch, geometry.temporal
        pieces = self._planes.reshape(-1, temporal, 3, down, patch, across, patch)
        target = out.reshape(-1, down, across, 3, temporal, patch, patch)
        np.copyto(target, pieces.transpose(0, 3, 5, 2, 1, 4, 6))

    def _fill(self, frames: list[CameraFrame]) -> None:
        planes = np.empty_like(self._planes)
        for frame, place in zip(frames, planes, strict=True):
            self._middle.fill(frame.image, place)
        np.copyto(self._planes, planes)
        self._filled, self.newest_ns = True, frames[-1].captured_ns

    def _roll(self, frame: CameraFrame) -> bool:
        # A quarter of a period early still counts: cameras do not tick on our grid.
        if self._filled and frame.captured_ns - self.newest_ns < self._apart_ns * 3 // 4:
            return False
        plane = np.empty_like(self._planes[0])
        self._middle.fill(frame.image, plane)
        if self._filled:
            self._planes[:-1] = self._planes[1:]
            self._planes[-1] = plane
        else:
            self._planes[:] = plane
        self._filled, self.newest_ns = True, frame.captured_ns
        return True
