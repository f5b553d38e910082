"""What plans are verified on: real frames, joint poses, and what the torch networks answered."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from neon_edge.capture.clip import decode, find_clip, survey
from neon_edge.engine.files import sha256_file
from neon_edge.engine.manifest import AudioGeometry
from neon_edge.errors import ConfigWrong
from neon_edge.types import CameraFrame, Float32, UInt8

FILE_NAME = "samples.npz"
FRAMES = 8
POSES = 4
SEED = 0
_PREFIX = "input_"
_OPTIONAL = ("sounds", "predicted", "undenoised")


class Samples(NamedTuple):
    """Inputs, and what the original network made of them.

    frames (n, pictures, height, width, 3) uint8 · inputs {name: (m, ...)}: joints and sensors, all
    that the heads take but the pooled features · pooled (n, width) · chunk (m, steps, action). Row
    i of the m belongs to frame i // POSES.
    """

    frames: UInt8
    inputs: dict[str, Float32]
    pooled: Float32
    chunk: Float32
    sounds: Float32 | None = None
    """(n, samples) where the backbone listens."""
    predicted: Float32 | None = None
    """(m, denoise steps, steps, action), where the heads diffuse: of the sample's own noise."""
    undenoised: Float32 | None = None
    """(m, steps, action), there: chunks with the noise in place of what denoising makes of it."""


def clip_frames(clip: str, count: int, pictures: int) -> UInt8:
    """`count` moments spread over a clip, (count, pictures, height, width, 3).

    Several cameras see different moments, so that no camera's error hides behind another's.
    """
    surveyed = survey(find_clip(clip))
    if surveyed.frames < count:
        raise ConfigWrong(
            f"clip {clip} is too short to verify plans on",
            f"{surveyed.frames} frames, {count} wanted",
            "use a longer clip",
        )
    places = np.linspace(0, surveyed.frames - 1, count).round().astype(int)
    shift = max(1, surveyed.frames // (count * (pictures + 1)))
    wanted = (places[:, None] + shift * np.arange(pictures)) % surveyed.frames
    chosen = set(wanted.reshape(-1).tolist())
    pool = {k: frame.rgb() for k, frame in enumerate(decode(surveyed)) if k in chosen}
    return np.stack([[pool[int(place)] for place in row] for row in wanted])


def sound_windows(audio: AudioGeometry, count: int, seed: int) -> Float32:
    """`count` windows (count, samples): tones that glide from note to note over noise."""
    draw = np.random.default_rng(seed)
    notes = np.exp(draw.uniform(np.log(80.0), np.log(6000.0), (count, 9)))
    place = np.linspace(0, notes.shape[1] - 1, audio.samples)
    hz = np.stack([np.interp(place, np.arange(notes.shape[1]), row) for row in notes])
    tones = np.sin(2 * np.pi * np.cumsum(hz, axis=1) / audio.rate_hz)
    loudness = 10 ** draw.uniform(-3, -0.5, (count, 1))
    noise = draw.standard_normal((count, audio.samples))
    return (loudness * (tones + 0.1 * noise)).astype(np.float32)


def camera_frames(moment: Iterable[UInt8]) -> list[CameraFrame]:
    """Of each camera (height, width, 3), as the cameras would hand them over."""
    return [CameraFrame(image, 1, f"sample{index}") for index, image in enumerate(moment)]


def write_samples(directory: Path, samples: Samples) -> str:
    """Write them beside the bundle's manifest; returns their sha256."""
    path = directory / FILE_NAME
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "frames": samples.frames,
        "pooled": samples.pooled,
        "chunk": samples.chunk,
    }
    for name in _OPTIONAL:
        optional: Float32 | None = getattr(samples, name)
        if optional is not None:
            arrays[name] = optional
    arrays |= {_PREFIX + name: reading for name, reading in samples.inputs.items()}
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    return sha256_file(path)


def read_samples(path: Path, sha256: str) -> Samples:
    """Read what `write_samples` wrote, unchanged. Raises `ConfigWrong`."""
    if not path.is_file() or sha256_file(path) != sha256:
        raise ConfigWrong(
            "the verification samples are missing or were changed",
            str(path),
            "make the bundle again",
        )
    with np.load(path, allow_pickle=False) as stored:
        return Samples(
            stored["frames"],
            {n[len(_PREFIX) :]: stored[n] for n in stored.files if n.startswith(_PREFIX)},
            stored["pooled"],
            stored["chunk"],
            *(stored[n] if n in stored.files else None for n in _OPTIONAL),
        )
