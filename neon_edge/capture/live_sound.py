"""A microphone that FFmpeg can open: ALSA and PulseAudio devices, network streams, test tones."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

import numpy as np

from neon_edge.capture.clip import load_av
from neon_edge.capture.live_source import LiveSource
from neon_edge.clock import Clock
from neon_edge.config.robot import LiveMicrophone
from neon_edge.errors import ConfigWrong, DeviceMissing
from neon_edge.types import AudioWindow, Float32

FIRST_SOUND_S = 10.0
ASKED = ("alsa", "pulse")
"""Formats whose devices take the rate that they are asked for."""


class LiveSound:
    """The newest `window` samples, the mean of all channels, in [-1, 1].

    `captured_ns` is when the last of them was handed over: the device's own period (about 20 ms)
    lies before it. After the source has ended or failed, `newest` raises.
    """

    def __init__(
        self, config: LiveMicrophone, container: Any, rate_hz: int, window: int, clock: Clock
    ) -> None:
        self._config = config
        self._rate_hz = rate_hz
        self._clock = clock
        self._heard: Float32 = np.zeros(window, np.float32)
        self._filled = 0
        self._captured_ns = 0
        self._lock = threading.Lock()
        # Any format of samples becomes float32, a row a channel; layout and rate stay.
        self._to_float = load_av().AudioResampler(format="fltp")
        self.source = LiveSource(config.name, container, "audio", self._take)

    def newest(self) -> AudioWindow | None:
        """The newest whole window, or None before there was so much sound.

        Raises `DeviceMissing` once nothing more will come.
        """
        if self.source.ended is not None:
            raise _gone(self._config, self.source.ended)
        with self._lock:
            if self._filled < len(self._heard):
                return None
            return AudioWindow(self._heard.copy(), self._rate_hz, self._captured_ns)

    def await_first(self) -> None:
        """Return when there was any sound. Raises `DeviceMissing`."""
        self.source.await_first(FIRST_SOUND_S)
        if self._filled == 0:
            raise _gone(self._config, self.source.ended or f"no sound in {FIRST_SOUND_S:g} s")

    def close(self) -> None:
        """Stop reading."""
        self.source.close()

    def _take(self, sound: Any) -> None:
        for piece in self._to_float.resample(sound):
            self._keep(piece.to_ndarray().mean(axis=0))

    def _keep(self, samples: Float32) -> None:
        if len(samples) == 0:
            return
        now_ns = self._clock.now_ns()
        window = self._heard
        kept = samples[-len(window) :]
        with self._lock:
            window[: len(window) - len(kept)] = window[len(kept) :].copy()
            window[len(window) - len(kept) :] = kept
            self._filled = min(self._filled + len(samples), len(window))
            self._captured_ns = now_ns

    def __enter__(self) -> LiveSound:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_live_sound(config: LiveMicrophone, rate_hz: int, window: int, clock: Clock) -> LiveSound:
    """Open the source and wait for its first sound.

    Raises `DeviceMissing`, or `ConfigWrong` for another rate than `rate_hz`.
    """
    av = load_av()
    asked = {"sample_rate": str(rate_hz)} if config.format in ASKED else {}
    try:
        container = av.open(
            config.source, format=config.format or None, options={**asked, **config.options}
        )
    except (av.FFmpegError, OSError, ValueError) as failure:
        raise _gone(config, str(failure)) from failure
    try:
        _check(config, container, rate_hz)
        reader = LiveSound(config, container, rate_hz, window, clock)
    except ConfigWrong:
        container.close()
        raise
    try:
        reader.await_first()
    except DeviceMissing:
        reader.close()
        raise
    return reader


def _check(config: LiveMicrophone, container: Any, rate_hz: int) -> None:
    if not container.streams.audio:
        raise ConfigWrong(
            f"microphone {config.name!r} gives no sound",
            f"source {config.source} has no audio stream",
            "name a microphone: arecord -L lists them",
        )
    rate = container.streams.audio[0].rate
    if rate != rate_hz:
        raise ConfigWrong(
            f"microphone {config.name!r} has another rate than the backbone listens at",
            f"source {config.source}: {rate} Hz against {rate_hz} Hz",
            f'options = {{ sample_rate = "{rate_hz}" }}, on one that converts: ALSA\'s plughw:',
        )


def _gone(config: LiveMicrophone, why: str) -> DeviceMissing:
    return DeviceMissing(
        f"microphone {config.name!r} gives no sound",
        f"source {config.source}: {why}",
        "check cable and power, arecord -L, and who else has it open",
    )
