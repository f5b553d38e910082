"""What a clip's own sound track holds ahead of given moments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from neon_edge.capture.clip import load_av
from neon_edge.engine.manifest import AudioGeometry
from neon_edge.errors import ConfigWrong
from neon_edge.types import Float32


def windows_of(path: Path, moments_ns: Sequence[int], audio: AudioGeometry) -> Float32:
    """(n, samples) up to each of `moments_ns`, mono at the tower's rate; silence ahead of the clip.

    Raises `ConfigWrong` where the clip is mute.
    """
    track = _track(path, audio.rate_hz)
    held = np.concatenate([np.zeros(audio.samples, np.float32), track])
    ends = [min(at * audio.rate_hz // 10**9, len(track)) + audio.samples for at in moments_ns]
    return np.stack([held[end - audio.samples : end] for end in ends])


def _track(path: Path, rate_hz: int) -> Float32:
    av = load_av()
    with av.open(str(path)) as container:
        if not container.streams.audio:
            raise ConfigWrong(
                "the clip is mute, and this backbone listens",
                f"{path} has no sound track",
                "record one with sound, or set audio_seconds = 0 in the recipe",
            )
        resampler = av.AudioResampler(format="flt", layout="mono", rate=rate_hz)
        frames = [
            piece for frame in container.decode(audio=0) for piece in resampler.resample(frame)
        ]
        frames += resampler.resample(None)
        track: Float32 = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    return track.astype(np.float32)
