"""Is what a camera or a microphone gives a view of the world? Dark, frozen, silent and lost.

Pictures are judged on every eighth pixel of every eighth row, so that a look costs a fraction of a
millisecond whatever the camera's size. Nothing here changes what a backbone is given.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from neon_edge.config.senses import Senses
from neon_edge.types import AudioWindow, CameraFrame, UInt8

_NS = 1_000_000_000
_EVERY = 8
_QUANTILE = 0.99


class Sense(IntEnum):
    """How a sense is."""

    THERE = 0
    DARK = 1
    FROZEN = 2
    SILENT = 3
    LOST = 4
    """Nothing comes from the device."""


class CameraWatch:
    """One camera, looked at as often as you like; from the first look on it may be lost."""

    def __init__(self, senses: Senses) -> None:
        self._senses = senses
        self._begun_ns = 0
        self._newest_ns = 0
        self._dark_since_ns = 0
        self._changed_ns = 0
        self._sparse: UInt8 | None = None

    def look(self, frame: CameraFrame | None, now_ns: int) -> Sense:
        """`frame` is the newest there is; None before the first."""
        self._begun_ns = self._begun_ns or now_ns
        if frame is not None and frame.captured_ns != self._newest_ns:
            self._take(frame)
        if now_ns - (self._newest_ns or self._begun_ns) > self._senses.lost_after_s * _NS:
            return Sense.LOST
        if self._newest_ns - self._changed_ns > self._senses.frozen_after_s * _NS:
            return Sense.FROZEN
        dark_ns = self._newest_ns - self._dark_since_ns if self._dark_since_ns else -1
        return Sense.DARK if dark_ns >= self._senses.dark_after_s * _NS else Sense.THERE

    def _take(self, frame: CameraFrame) -> None:
        sparse = frame.image[::_EVERY, ::_EVERY]
        if self._sparse is None or not np.array_equal(sparse, self._sparse):
            self._changed_ns = frame.captured_ns
            # A copy: a camera may write its next picture into the same memory.
            self._sparse = sparse.copy()
        self._newest_ns = frame.captured_ns
        if not self._is_dark(sparse):
            self._dark_since_ns = 0
        elif not self._dark_since_ns:
            self._dark_since_ns = frame.captured_ns

    def _is_dark(self, sparse: UInt8) -> bool:
        brightest = np.sort(sparse.max(axis=2), axis=None)
        return bool(brightest[int(_QUANTILE * (brightest.size - 1))] <= self._senses.dark_level)


class MicrophoneWatch:
    """One microphone. Its windows overlap: only their newest stretch says how it is now."""

    def __init__(self, senses: Senses) -> None:
        self._senses = senses
        self._first_by_ns = 0
        self._newest_ns = 0
        self._judged_ns = 0
        self._silent = False

    def look(self, window: AudioWindow | None, now_ns: int, patience_ns: int = 0) -> Sense:
        """`window` is the newest; None before the first, which may take `patience_ns` to fill."""
        lost_ns = round(self._senses.lost_after_s * _NS)
        self._first_by_ns = self._first_by_ns or now_ns + patience_ns
        if window is not None:
            self._newest_ns = window.captured_ns
            self._judge(window)
        since_ns = self._newest_ns or self._first_by_ns
        if now_ns - since_ns > lost_ns:
            return Sense.LOST
        return Sense.SILENT if self._silent else Sense.THERE

    def _judge(self, window: AudioWindow) -> None:
        stretch_ns = round(self._senses.silent_after_s * _NS)
        # A tenth of the stretch is soon enough, and a window comes with every look.
        if 0 < window.captured_ns - self._judged_ns < stretch_ns // 10:
            return
        self._judged_ns = window.captured_ns
        count = max(2, round(self._senses.silent_after_s * window.rate_hz))
        self._silent = float(window.samples[-count:].std()) < self._senses.silent_below
