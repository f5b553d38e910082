"""Sound → log-mel spectrogram, with the numbers of transformers' `WhisperFeatureExtractor`.

    samples ─ frames of a Hann window ─▶ power ─ mel filters ─▶ log10, clipped at 80 dB, scaled

Upstream pads a window with silence to five minutes before it cuts the spectrogram back to the
window's length, so the last frames look into silence, and the first into the window's own mirror
image. NumPy only: this runs on the robot.
"""

from __future__ import annotations

import numpy as np

from neon_edge.engine.manifest import AudioGeometry
from neon_edge.errors import ConfigWrong
from neon_edge.types import AudioWindow, Float32, Float64

_TOP_HZ = 8000.0
_FLOOR = 1e-10
_RANGE = 8.0
_BREAK_HZ = 1000.0
_BREAK_MEL = 15.0
_STEP = 27.0 / np.log(6.4)
"""Slaney's scale: linear up to 1 kHz, from there 27 mels for a factor of 6.4."""


class LogMel:
    """One geometry; everything that does not depend on the samples is made once."""

    def __init__(self, geometry: AudioGeometry) -> None:
        self._geometry = geometry
        edge = geometry.fft // 2
        self._padded = np.zeros(geometry.samples + 2 * edge)
        self._frames = np.lib.stride_tricks.sliding_window_view(self._padded, geometry.fft)[
            :: geometry.hop
        ][: geometry.frames]
        turn = 2 * np.pi * np.arange(geometry.fft) / geometry.fft
        self._window = 0.5 - 0.5 * np.cos(turn)
        self._filters = mel_filters(geometry.rate_hz, geometry.fft, geometry.mels)

    def fill(self, window: AudioWindow, out: Float32) -> None:
        """Write the spectrogram into `out` (mels, frames).

        Raises `ConfigWrong` where the window has another rate or length than the geometry: sound
        is never resampled here.
        """
        geometry = self._geometry
        if window.rate_hz != geometry.rate_hz or window.samples.shape != (geometry.samples,):
            raise ConfigWrong(
                "the sound is not what the backbone was built for",
                f"{window.samples.shape} samples at {window.rate_hz} Hz, wanted "
                f"{geometry.samples} at {geometry.rate_hz} Hz",
                "record at that rate and length; nothing is resampled on the robot",
            )
        edge = geometry.fft // 2
        self._padded[edge : edge + geometry.samples] = window.samples
        self._padded[:edge] = window.samples[edge:0:-1]
        spectrum = np.fft.rfft(self._frames * self._window)
        power = spectrum.real**2 + spectrum.imag**2
        mel = np.log10(np.maximum(self._filters @ power.T, _FLOOR))
        np.maximum(mel, mel.max() - _RANGE, out=mel)
        out[:] = (mel + 4.0) / 4.0


def mel_filters(rate_hz: int, fft: int, mels: int) -> Float64:
    """Triangles of equal area on Slaney's mel scale, (mels, fft / 2 + 1), from 0 to 8 kHz."""
    corners = _to_hz(np.linspace(0.0, _to_mel(_TOP_HZ), mels + 2))
    bins = np.linspace(0.0, rate_hz / 2, fft // 2 + 1)
    rising = (bins - corners[:-2, None]) / np.diff(corners)[:-1, None]
    falling = (corners[2:, None] - bins) / np.diff(corners)[1:, None]
    area = 2.0 / (corners[2:] - corners[:-2])
    filters: Float64 = np.maximum(0.0, np.minimum(rising, falling))
    return filters * area[:, None]


def _to_mel(hz: float) -> float:
    return float(_BREAK_MEL + np.log(hz / _BREAK_HZ) * _STEP)


def _to_hz(mel: Float64) -> Float64:
    above = _BREAK_HZ * np.exp((mel - _BREAK_MEL) / _STEP)
    hz: Float64 = np.where(mel < _BREAK_MEL, mel * (_BREAK_HZ / _BREAK_MEL), above)
    return hz
