"""A camera that FFmpeg can open: USB and CSI cameras by V4L2, network streams, test patterns.

The newest frame is kept and the others are dropped.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

import numpy as np

from neon_edge.capture.clip import load_av
from neon_edge.capture.live_source import LiveSource
from neon_edge.clock import Clock
from neon_edge.config.robot import LiveCamera
from neon_edge.errors import DeviceMissing
from neon_edge.types import CameraFrame, UInt8

FIRST_FRAME_S = 10.0
SENSOR_CLOCK_NS = 10_000_000_000


class LiveReader:
    """Frames as they come. After the source has ended or failed, `newest` raises.

    A damaged picture is not shown; where nothing but those comes, the last good one grows old and
    its watch says so.
    """

    def __init__(self, config: LiveCamera, container: Any, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._latest: tuple[Any, int] | None = None
        self._shown: tuple[Any, CameraFrame] | None = None
        self.source = LiveSource(config.name, container, "video", self._take)

    def newest(self) -> CameraFrame | None:
        """The newest frame, turned to RGB by the call that first sees it.

        Raises `DeviceMissing` once nothing more will come: old pictures are no news.
        """
        if self.source.ended is not None:
            raise _gone(self._config, self.source.ended)
        latest = self._latest
        if latest is None:
            return None
        video, captured_ns = latest
        if self._shown is None or self._shown[0] is not video:
            image: UInt8 = np.ascontiguousarray(video.to_ndarray(format="rgb24"))
            self._shown = (video, CameraFrame(image, captured_ns, self._config.name))
        return self._shown[1]

    def await_first(self) -> None:
        """Return when a frame is there. Raises `DeviceMissing`."""
        self.source.await_first(FIRST_FRAME_S)
        if self._latest is None:
            raise _gone(self._config, self.source.ended or f"no frame in {FIRST_FRAME_S:g} s")

    def close(self) -> None:
        """Stop reading."""
        self.source.close()

    def _take(self, video: Any) -> None:
        self._latest = (video, self._captured_ns(video))

    def _captured_ns(self, video: Any) -> int:
        """V4L2 stamps frames on the monotonic clock; other sources count from their own start."""
        now_ns = self._clock.now_ns()
        if video.pts is None or video.time_base is None:
            return now_ns
        stamped_ns = round(video.pts * video.time_base * 1_000_000_000)
        return stamped_ns if 0 <= now_ns - stamped_ns < SENSOR_CLOCK_NS else now_ns

    def __enter__(self) -> LiveReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_live(config: LiveCamera, clock: Clock) -> LiveReader:
    """Open the source and wait for its first frame. Raises `DeviceMissing`."""
    av = load_av()
    try:
        container = av.open(config.source, format=config.format or None, options=config.options)
    except (av.FFmpegError, OSError, ValueError) as failure:
        raise _gone(config, str(failure)) from failure
    reader = LiveReader(config, container, clock)
    try:
        reader.await_first()
    except DeviceMissing:
        reader.close()
        raise
    return reader


def _gone(config: LiveCamera, why: str) -> DeviceMissing:
    return DeviceMissing(
        f"camera {config.name!r} gives no pictures",
        f"source {config.source}: {why}",
        "check cable and power, v4l2-ctl --list-devices, and who else has it open",
    )
