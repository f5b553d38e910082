"""What a clip's own sound track holds ahead of given moments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neon_edge.capture.clip import load_av
from neon_edge.engine.manifest import AudioGeometry
from neon_edge.errors import ConfigWrong
from neon_edge.types import Float32


def windows_of(
    path: Path, moments_ns: Sequence[int], audio: AudioGeometry, since_ns: Sequence[int] = ()
) -> Float32:
    """(n, samples) up to each of `moments_ns`, mono at the tower's rate; silence ahead of the clip.

    With `since_ns` also ahead of those times, one a moment: what another stretch sounded like is
    not heard. Raises `ConfigWrong` where the clip is mute or damaged.
    """
    track = _track(path, audio.rate_hz)
    held = np.concatenate([np.zeros(audio.samples, np.float32), track])
    ends = [min(at * audio.rate_hz // 10**9, len(track)) + audio.samples for at in moments_ns]
    windows = np.stack([held[end - audio.samples : end] for end in ends])
    for window, end, since in zip(windows, ends, since_ns, strict=False):
        begin = since * audio.rate_hz // 10**9 + 2 * audio.samples - end
        window[: max(0, min(begin, audio.samples))] = 0
    return windows


def _track(path: Path, rate_hz: int) -> Float32:
    av = load_av()
    try:
        with av.open(str(path)) as container:
            frames = _resampled(av, container, path, rate_hz)
    except av.FFmpegError as failure:
        raise ConfigWrong(
            "a sound track cannot be read", f"{path}: {failure}", "copy it again, or record again"
        ) from failure
    if not frames:
        raise ConfigWrong("a sound track is empty", str(path), "record it again")
    track: Float32 = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    return track.astype(np.float32)


def _resampled(av: Any, container: Any, path: Path, rate_hz: int) -> list[Any]:
    if not container.streams.audio:
        raise ConfigWrong(
            "the clip is mute, and this backbone listens",
            f"{path} has no sound track",
            "record one with sound, or set audio_seconds = 0 in the recipe",
        )
    resampler = av.AudioResampler(format="flt", layout="mono", rate=rate_hz)
    frames = [piece for frame in container.decode(audio=0) for piece in resampler.resample(frame)]
    return frames + list(resampler.resample(None))
