"""What a microphone is: the newest window of sound. A recorded WAV file is one."""

from __future__ import annotations

import wave
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np

from neon_edge.capture.clip import find_clip
from neon_edge.clock import Clock
from neon_edge.config.robot import Microphone as MicrophoneConfig
from neon_edge.config.robot import WavMicrophone
from neon_edge.errors import ConfigWrong
from neon_edge.types import AudioWindow, Float32

_NS = 1_000_000_000
BACKBONE_HZ = 16_000
"""What Whisper's and Wav2Vec's families listen at."""


class Microphone(Protocol):
    """An open microphone."""

    def newest(self) -> AudioWindow | None:
        """The newest whole window, or None before there was so much sound. Does not wait."""

    def close(self) -> None:
        """Give the device back. Windows stay valid."""

    def __enter__(self) -> Microphone: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class WavReplay:
    """A recording that plays at its own rate, over and over, on the robot's clock.

    `captured_ns` is when a microphone would have heard the window's last sample.
    """

    def __init__(self, track: Float32, rate_hz: int, window: int, clock: Clock) -> None:
        self._rate_hz = rate_hz
        self._window = window
        self._clock = clock
        self._start_ns = clock.now_ns()
        # Long enough that every window is one slice.
        turns = -(-window // len(track)) + 1
        self._turn = len(track)
        self._track = np.tile(track, turns)

    def newest(self) -> AudioWindow | None:
        """The window that ends now."""
        heard = (self._clock.now_ns() - self._start_ns) * self._rate_hz // _NS
        if heard < self._window:
            return None
        start = (heard - self._window) % self._turn
        captured_ns = self._start_ns + heard * _NS // self._rate_hz
        samples = self._track[start : start + self._window]
        return AudioWindow(samples, self._rate_hz, captured_ns)

    def close(self) -> None:
        """The file was closed when it had been read."""

    def __enter__(self) -> WavReplay:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_microphone(
    config: MicrophoneConfig, rate_hz: int, window: int, clock: Clock
) -> Microphone:
    """Open what a robot file names, for windows of `window` samples.

    Raises `DeviceMissing` (not there) or `ConfigWrong` (not sound, or sound at another rate).
    """
    if isinstance(config, WavMicrophone):
        return _open_wav(config, rate_hz, window, clock)
    from neon_edge.capture.live_sound import open_live_sound

    return open_live_sound(config, rate_hz, window, clock)


def own_rate(config: MicrophoneConfig) -> int:
    """The rate to record it at, Hz: a recording's own; a device's as told, or what backbones hear.

    Raises `DeviceMissing` or `ConfigWrong`.
    """
    if isinstance(config, WavMicrophone):
        return read_wav(find_clip(config.path))[1]
    return int(config.options.get("sample_rate", BACKBONE_HZ))


def _open_wav(config: WavMicrophone, rate_hz: int, window: int, clock: Clock) -> WavReplay:
    path = find_clip(config.path)
    track, rate = read_wav(path)
    if rate != rate_hz:
        raise ConfigWrong(
            f"{path.name} has another rate than the backbone listens at",
            f"{rate} Hz against {rate_hz} Hz",
            f"record at {rate_hz} Hz, or convert it (ffmpeg -i FILE -ar {rate_hz} NEW.wav)",
        )
    return WavReplay(track, rate, window, clock)


def read_wav(path: Path) -> tuple[Float32, int]:
    """Samples in [-1, 1], the mean of all channels, and the rate in Hz. PCM of 8 to 32 bits.

    Raises `ConfigWrong`.
    """
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            declared, content = file.getnframes(), file.readframes(file.getnframes())
    except (wave.Error, EOFError, OSError) as failure:
        raise _broken(path, str(failure)) from failure
    if width > 4:
        raise _broken(path, f"{8 * width} bits a sample")
    count = len(content) // (channels * width)
    if count < declared or count == 0:
        raise _broken(path, f"{count} samples of {declared} are there")
    levels = _levels(np.frombuffer(content, np.uint8).reshape(-1, width))
    return levels.reshape(count, channels).mean(axis=1).astype(np.float32), rate


def _levels(pieces: np.ndarray[tuple[int, int], np.dtype[np.uint8]]) -> Float32:
    """Little-endian samples (n, bytes) → [-1, 1). Eight bits are unsigned, all others signed."""
    width = pieces.shape[1]
    wide = np.zeros((len(pieces), 4), np.uint8)
    wide[:, 4 - width :] = pieces
    if width == 1:
        wide[:, 3] ^= 0x80
    signed = wide.view("<i4")[:, 0]
    levels: Float32 = (signed / np.float64(2**31)).astype(np.float32)
    return levels


def _broken(path: Path, facts: str) -> ConfigWrong:
    return ConfigWrong(
        f"{path.name} is not a recording we can play",
        f"{path}: {facts}",
        "give a WAV file of whole PCM samples (ffmpeg -i FILE -c:a pcm_s16le NEW.wav)",
    )
