"""A camera or microphone that may vanish and come back while everything else goes on.

A thread opens it again: some drivers take seconds to say that nobody is there.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Generic, Protocol, TypeVar

from neon_edge.errors import NeonEdgeError

AGAIN_S = 2.0
"""Between two attempts."""

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Device(Protocol[T_co]):
    """What gives its newest, as a camera gives frames and a microphone windows."""

    def newest(self) -> T_co | None:
        """The newest, or None before the first. Raises once nothing more will come."""

    def close(self) -> None:
        """Give the device back."""


class Revived(Generic[T]):
    """An open device, and how to open it anew. The first opening is the caller's to fail at."""

    def __init__(self, open_again: Callable[[], Device[T]], again_s: float = AGAIN_S) -> None:
        self._open_again = open_again
        self._again_s = again_s
        self._device: Device[T] | None = open_again()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def newest(self) -> T | None:
        """The newest it gives; None while it is gone. The log says why it went."""
        if self._device is None:
            return None
        try:
            return self._device.newest()
        except NeonEdgeError as failure:
            logging.getLogger(__name__).warning("%s: %s", failure.wrong, failure.facts)
            self._device.close()
            self._device = None
            self._thread = threading.Thread(target=self._revive, daemon=True)
            self._thread.start()
            return None

    def close(self) -> None:
        """Give up. An attempt that hangs in its driver is left to the process's end."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(timeout=1.0)
        if self._device is not None:
            self._device.close()

    def _revive(self) -> None:
        while not self._closing.wait(self._again_s):
            try:
                self._device = self._open_again()
            except NeonEdgeError:
                continue
            return

    def __enter__(self) -> Revived[T]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
