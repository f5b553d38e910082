"""What a camera is: the newest picture and when it was taken. Never a queue."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from neon_edge.clock import Clock
from neon_edge.config.robot import Camera as CameraConfig
from neon_edge.config.robot import ClipCamera, LiveCamera
from neon_edge.types import CameraFrame


class Camera(Protocol):
    """An open camera. Ask it as often as you like: the same frame again means nothing new."""

    def newest(self) -> CameraFrame | None:
        """The newest frame, or None before the first. Does not wait for the next one."""

    def close(self) -> None:
        """Give the device back. Frames stay valid."""

    def __enter__(self) -> Camera: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def open_camera(config: CameraConfig, clock: Clock) -> Camera:
    """Open what a robot file names. Raises `DeviceMissing` or `ConfigWrong`."""
    match config:
        case ClipCamera():
            from neon_edge.capture.replay import open_clip

            return open_clip(config, clock)
        case LiveCamera():
            from neon_edge.capture.live import open_live

            return open_live(config, clock)
