"""What plans are verified on: moments set aside, joint poses, and what the torch networks said."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from neon_edge.engine.attended import open_feed
from neon_edge.engine.contract import Engine
from neon_edge.engine.files import sha256_file
from neon_edge.engine.manifest import AudioGeometry
from neon_edge.errors import ConfigWrong
from neon_edge.types import CameraFrame, Float32, Int64, UInt8

FILE_NAME = "samples.npz"
FRAMES = 8
POSES = 4
SEED = 0
_PREFIX, _CAMERA = "input_", "camera_"
_OPTIONAL = ("sounds", "predicted", "undenoised", "tokens", "counts")


class Seen(NamedTuple):
    """What a backbone made of every moment: pooled (n, width), and what it gave out beside it."""

    pooled: Float32
    tokens: list[Float32] | None = None
    """(count, width) a moment."""

    def put(self, moment: int, heads: Engine) -> None:
        """One moment's into the heads' inputs."""
        np.copyto(heads.inputs["pooled"][0], self.pooled[moment])
        feed = open_feed(heads)
        if feed is None:
            return
        if self.tokens is None:
            raise ConfigWrong(
                "these heads attend to tokens, and nothing on which they are judged has any",
                "the samples or the backbone's plans hold pooled features alone",
                "make the bundle again",
            )
        feed.put(self.tokens[moment])


class Samples(NamedTuple):
    """Inputs, and what the original network made of them.

    cameras: of each (n, height, width, 3) uint8 · inputs {name: (m, ...)}: joints and sensors, all
    that the heads take but the pooled features · pooled (n, width) · chunk (m, steps, action). Row
    i of the m belongs to moment i // POSES.
    """

    cameras: tuple[UInt8, ...]
    instructions: list[str]
    names: list[str]
    """Of the moments, for a person."""
    inputs: dict[str, Float32]
    pooled: Float32
    chunk: Float32
    sounds: Float32 | None = None
    """(n, samples) where the backbone listens."""
    predicted: Float32 | None = None
    """(m, denoise steps, steps, action), where the heads diffuse: of the sample's own noise."""
    undenoised: Float32 | None = None
    """(m, steps, action), there: chunks with the noise in place of what denoising makes of it."""
    tokens: Float32 | None = None
    """(n, rows, width) where the backbone gives them out, zeros behind `counts` (n,) of them."""
    counts: Int64 | None = None
    tuning: int = 0
    """How many first moments decide what goes back to float, and judge nothing after that."""

    @property
    def seen(self) -> Seen:
        """What the original backbone made."""
        if self.tokens is None or self.counts is None:
            return Seen(self.pooled)
        pairs = zip(self.tokens, self.counts, strict=True)
        return Seen(self.pooled, [rows[:count] for rows, count in pairs])

    @property
    def frames(self) -> list[tuple[UInt8, ...]]:
        """Moment by moment, what each camera saw."""
        return list(zip(*self.cameras, strict=True))

    def half(self, tuning: bool) -> Samples:
        """Those to tune by, or the others; all where nothing is set apart."""
        count = len(self.names)
        if not 0 < self.tuning < count:
            return self
        n = slice(self.tuning) if tuning else slice(self.tuning, count)
        poses = len(self.chunk) // count
        m = slice((n.start or 0) * poses, n.stop * poses)

        def of(rows: Any, places: slice) -> Any:
            return None if rows is None else rows[places]

        return Samples(
            tuple(seen[n] for seen in self.cameras),
            self.instructions[n],
            self.names[n],
            {name: rows[m] for name, rows in self.inputs.items()},
            self.pooled[n],
            self.chunk[m],
            of(self.sounds, n),
            of(self.predicted, m),
            of(self.undenoised, m),
            of(self.tokens, n),
            of(self.counts, n),
        )


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
        "instructions": np.array(samples.instructions, np.str_),
        "names": np.array(samples.names, np.str_),
        "tuning": np.array(samples.tuning),
        "pooled": samples.pooled,
        "chunk": samples.chunk,
    }
    arrays |= {f"{_CAMERA}{number}": seen for number, seen in enumerate(samples.cameras)}
    for name in _OPTIONAL:
        optional: npt.NDArray[np.generic] | None = getattr(samples, name)
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
        cameras = sum(name.startswith(_CAMERA) for name in stored.files)
        return Samples(
            tuple(stored[f"{_CAMERA}{number}"] for number in range(cameras)),
            [str(text) for text in stored["instructions"]],
            [str(name) for name in stored["names"]],
            {n[len(_PREFIX) :]: stored[n] for n in stored.files if n.startswith(_PREFIX)},
            stored["pooled"],
            stored["chunk"],
            tuning=int(stored["tuning"]),
            **{n: stored[n] for n in _OPTIONAL if n in stored.files},
        )
