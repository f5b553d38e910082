"""Sound → Kaldi's log filter bank, with transformers' `SeamlessM4TFeatureExtractor`'s numbers.

It is what Wav2Vec-BERT 2.0 hears: 80 bands of 25 ms frames every 10 ms, each band brought to mean
zero and deviation one over the window, two frames side by side in a row. NumPy only.
"""

from __future__ import annotations

import numpy as np

from neon_edge.errors import ConfigWrong
from neon_edge.types import AudioWindow, Float32, Float64

RATE_HZ = 16000
FRAME = 400
HOP = 160
BANDS = 80
STRIDE = 2
_FFT = 512
_LOWEST_HZ = 20.0
_EMPHASIS = 0.97
_FULL_SCALE = 2.0**15
_FLOOR = float(np.finfo(np.float32).eps)
_TINY = 1e-7


def rows_of(samples: int) -> int:
    """Rows that a window of `samples` makes, two frames each.

    Raises `ConfigWrong` for an odd number of frames: the original would mask the last row.
    """
    frames = 1 + (samples - FRAME) // HOP
    if samples < FRAME or frames % STRIDE:
        raise ConfigWrong(
            "the window of sound does not make whole rows",
            f"{samples} samples make {max(0, frames)} frames, {STRIDE} a row",
            f"use {FRAME + HOP} samples and any number of times {STRIDE * HOP} more",
        )
    return frames // STRIDE


class FilterBank:
    """Windows of one length; everything that does not depend on the samples is made once."""

    def __init__(self, samples: int) -> None:
        self._samples = samples
        self._rows = rows_of(samples)
        turn = 2 * np.pi * np.arange(FRAME) / (FRAME - 1)
        self._window = (0.5 - 0.5 * np.cos(turn)) ** 0.85
        self._filters = kaldi_filters()

    def fill(self, window: AudioWindow, out: Float32) -> None:
        """Write rows (1, rows, 160) of one window into `out`.

        Raises `ConfigWrong` at another rate or length: sound is never resampled here.
        """
        if window.rate_hz != RATE_HZ or window.samples.shape != (self._samples,):
            raise ConfigWrong(
                "the sound is not what the backbone was built for",
                f"{window.samples.shape} samples at {window.rate_hz} Hz, wanted "
                f"{self._samples} at {RATE_HZ} Hz",
                "record at that rate and length; nothing is resampled on the robot",
            )
        sound = window.samples.astype(np.float64) * _FULL_SCALE
        frames = np.lib.stride_tricks.sliding_window_view(sound, FRAME)[::HOP]
        level = frames - frames.mean(axis=1, keepdims=True)
        sharp = np.empty_like(level)
        sharp[:, 1:] = level[:, 1:] - _EMPHASIS * level[:, :-1]
        sharp[:, 0] = level[:, 0] * (1 - _EMPHASIS)
        spectrum = np.fft.rfft(sharp * self._window, _FFT)
        power = spectrum.real**2 + spectrum.imag**2
        bands = np.log(np.maximum(power @ self._filters.T, _FLOOR))
        bands -= bands.mean(axis=0)
        bands /= np.sqrt(bands.var(axis=0, ddof=1) + _TINY)
        out[0] = bands.reshape(self._rows, -1)


def kaldi_filters() -> Float64:
    """Triangles on Kaldi's mel scale, straight in mel and not in Hz, (bands, bins)."""
    low, high = (float(_to_mel(np.float64(hz))) for hz in (_LOWEST_HZ, RATE_HZ / 2))
    corners = np.linspace(low, high, BANDS + 2)
    bins = _to_mel(np.linspace(0.0, RATE_HZ / 2, _FFT // 2 + 1))
    rising = (bins - corners[:-2, None]) / np.diff(corners)[:-1, None]
    falling = (corners[2:, None] - bins) / np.diff(corners)[1:, None]
    filters: Float64 = np.maximum(0.0, np.minimum(rising, falling))
    return filters


def _to_mel(hz: Float64 | np.float64) -> Float64:
    mel: Float64 = np.asarray(1127.0 * np.log(1.0 + hz / 700.0))
    return mel
