"""A camera that FFmpeg can open: USB and CSI cameras by V4L2, network streams, test patterns.

A thread of the backbone process keeps the newest frame and drops the others; decoding happens in
native code that leaves the interpreter to the backbone. The tick is in another process.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

import numpy as np

from neon_edge.capture.clip import load_av
from neon_edge.clock import Clock
from neon_edge.config.robot import LiveCamera
from neon_edge.errors import DeviceMissing
from neon_edge.types import CameraFrame, UInt8

FIRST_FRAME_S = 10.0
SENSOR_CLOCK_NS = 10_000_000_000


class LiveReader:
    """Frames as they come. After the source has ended or failed, `newest` raises.

    What cannot be decoded, or only in part, costs its picture and nothing else: `damaged` counts
    it, and where nothing but that comes, the picture grows old and its watch says so.
    """

    def __init__(self, config: LiveCamera, container: Any, clock: Clock) -> None:
        self._config = config
        self._container = container
        self._clock = clock
        self._invalid: type[Exception] = load_av().InvalidDataError
        self._latest: tuple[Any, int] | None = None
        self._shown: tuple[Any, CameraFrame] | None = None
        self._ended: str | None = None
        self._stopping = False
        self.damaged = 0
        self._first = threading.Event()
        self._thread = threading.Thread(target=self._read, name=config.name, daemon=True)
        self._thread.start()

    def newest(self) -> CameraFrame | None:
        """The newest frame, turned to RGB by the call that first sees it.

        Raises `DeviceMissing` once nothing more will come: old pictures are no news.
        """
        if self._ended is not None:
            raise _gone(self._config, self._ended)
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
        self._first.wait(FIRST_FRAME_S)
        if self._latest is None:
            raise _gone(self._config, self._ended or f"no frame in {FIRST_FRAME_S:g} s")

    def close(self) -> None:
        """Stop reading. A read that the device never answers is left to the process's end."""
        self._stopping = True
        self._thread.join(timeout=1.0)
        if not self._thread.is_alive():
            self._container.close()

    def _read(self) -> None:
        try:
            for packet in self._container.demux(video=0):
                for video in self._whole(packet):
                    self._latest = (video, self._captured_ns(video))
                    self._first.set()
                if self._stopping:
                    return
            self._ended = "the source has ended"
        except Exception as failure:  # whatever it was, the camera is gone
            self._ended = str(failure) or type(failure).__name__
        finally:
            self._first.set()

    def _whole(self, packet: Any) -> list[Any]:
        try:
            frames = packet.decode()
        except self._invalid:
            self.damaged += 1
            return []
        # Decoders paint over what was lost on the way and say so: no picture of now.
        whole = [frame for frame in frames if not frame.is_corrupt]
        self.damaged += len(frames) - len(whole)
        return whole

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
