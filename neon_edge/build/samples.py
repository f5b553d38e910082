"""What plans are verified on: real frames, joint poses inside their limits, the torch network's answers."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from neon_edge.capture.replay import decode_frames, resolve_clip
from neon_edge.engine.files import sha256_file
from neon_edge.errors import ConfigWrong
from neon_edge.types import CameraFrame, Float32, UInt8

FILE_NAME = "samples.npz"
FRAMES = 8
POSES = 4
SEED = 0


class Samples(NamedTuple):
    """Inputs, and what the original network made of them.

    frames (n, pictures, height, width, 3) uint8 · joints (m, action) · sensors {name: (m, size)} ·
    pooled (n, width) · chunk (m, steps, action): row i of the m belongs to frame i // POSES.
    """

    frames: UInt8
    joints: Float32
    sensors: dict[str, Float32]
    pooled: Float32
    chunk: Float32


def clip_frames(clip: str, count: int, pictures: int) -> UInt8:
    """`count` moments spread over a clip, (count, pictures, height, width, 3).

    Several cameras see different moments, so that no camera's error hides behind another's.
    """
    pool = list(decode_frames(resolve_clip(clip)))
    if len(pool) < count:
        raise ConfigWrong(
            f"clip {clip} is too short to verify plans on",
            f"{len(pool)} frames, {count} wanted",
            "use a longer clip",
        )
    places = np.linspace(0, len(pool) - 1, count).round().astype(int)
    shift = max(1, len(pool) // (count * (pictures + 1)))
    return np.stack(
        [[pool[(place + shift * k) % len(pool)] for k in range(pictures)] for place in places]
    )


def camera_frames(moment: UInt8) -> list[CameraFrame]:
    """(pictures, height, width, 3) as the cameras would hand them over."""
    return [CameraFrame(image, 1, f"sample{index}") for index, image in enumerate(moment)]


def write_samples(directory: Path, samples: Samples) -> str:
    """Write them beside the bundle's manifest; returns their sha256."""
    path = directory / FILE_NAME
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "frames": samples.frames,
        "joints": samples.joints,
        "pooled": samples.pooled,
        "chunk": samples.chunk,
    }
    arrays |= {f"sensor_{name}": reading for name, reading in samples.sensors.items()}
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
        prefix = "sensor_"
        return Samples(
            stored["frames"],
            stored["joints"],
            {n[len(prefix) :]: stored[n] for n in stored.files if n.startswith(prefix)},
            stored["pooled"],
            stored["chunk"],
        )
