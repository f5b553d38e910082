"""A camera that may vanish and come back, for a robot that can go on without it.

A thread opens it again: some drivers take seconds to say that nobody is there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from neon_edge.capture.camera import Camera
from neon_edge.errors import NeonEdgeError
from neon_edge.types import CameraFrame

AGAIN_S = 2.0
"""Between two attempts."""


class RevivedCamera:
    """An open camera, and how to open it anew. The first opening is the caller's to fail at."""

    def __init__(self, open_again: Callable[[], Camera], again_s: float = AGAIN_S) -> None:
        self._open_again = open_again
        self._again_s = again_s
        self._camera: Camera | None = open_again()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def newest(self) -> CameraFrame | None:
        """The newest frame; None while there is no camera."""
        if self._camera is None:
            return None
        try:
            return self._camera.newest()
        except NeonEdgeError:
            self._camera.close()
            self._camera = None
            self._thread = threading.Thread(target=self._revive, daemon=True)
            self._thread.start()
            return None

    def close(self) -> None:
        """Give up. An attempt that hangs in its driver is left to the process's end."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(timeout=1.0)
        if self._camera is not None:
            self._camera.close()

    def _revive(self) -> None:
        while not self._closing.wait(self._again_s):
            try:
                self._camera = self._open_again()
            except NeonEdgeError:
                continue
            return

    def __enter__(self) -> RevivedCamera:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
