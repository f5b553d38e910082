"""Moments from a recorded clip, drawn by how much the picture moves."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from neon_edge.build.calibrate.moments import CalibrationSet, Taken, taken
from neon_edge.build.calibrate.sound import windows_of
from neon_edge.build.calibrate.split import Counts, drawn, split
from neon_edge.build.calibrate.window import Window
from neon_edge.capture.clip import decode, find_clip, survey
from neon_edge.engine.files import sha256_file
from neon_edge.engine.manifest import AudioGeometry
from neon_edge.types import Float32, Int64, UInt8

_THUMB = 16


def from_clip(
    clip: str,
    instructions: list[str],
    count: int,
    window: Window,
    seed: int,
    audio: AudioGeometry | None = None,
) -> CalibrationSet:
    """`count` moments to calibrate on, of the stretch that nothing is judged by."""
    return take_clip(clip, instructions, Counts(count), window, seed, audio).moments


def take_clip(
    clip: str,
    instructions: list[str],
    counts: Counts,
    window: Window,
    seed: int,
    audio: AudioGeometry | None = None,
) -> Taken:
    """Moments of one clip; instructions take turns, cameras see different moments of a stretch.

    With `audio`, what is heard up to each moment. Raises `ConfigWrong` where the clip is mute.
    """
    surveyed = survey(find_clip(clip))
    seen = [(frame.at_ns, _thumb(frame.rgb())) for frame in decode(surveyed)]
    motion = _motion([thumb for _, thumb in seen])
    episodes, tasks = [0] * len(seen), ["clip"] * len(seen)
    stretches = split(episodes, tasks, seed)
    chosen = drawn(motion, episodes, tasks, counts, seed)
    times = np.array([at_ns for at_ns, _ in seen], np.int64)
    wanted: dict[int, list[int]] = {}
    begins: dict[int, int] = {}
    for stretch, places in zip(stretches, chosen, strict=True):
        first = stretch[0] if stretch else 0
        for place, shown in _shown(places, stretch, window.cameras).items():
            wanted[place] = [at for each in shown for at in _up_to(times, each, window, first)]
        begins |= {place: seen[first][0] for place in places}
    needed = {place for row in wanted.values() for place in row}
    pool = {k: f.rgb() for k, f in enumerate(decode(surveyed)) if k in needed}
    source = f"{surveyed.path.name} {sha256_file(surveyed.path)[:16]}"

    def made(places: list[int]) -> CalibrationSet:
        sounds = None
        if audio is not None and places:
            at_ns, since_ns = [seen[p][0] for p in places], [begins[p] for p in places]
            sounds = windows_of(surveyed.path, at_ns, audio, since_ns)
        return CalibrationSet(
            cameras=tuple(
                _stacked([pool[wanted[place][k]] for place in places])
                for k in range(window.cameras * window.pictures)
            ),
            instructions=[instructions[i % len(instructions)] for i in range(len(places))],
            names=[f"{surveyed.path.name} frame {place}" for place in places],
            joints=np.zeros((len(places), 0), np.float32),
            sounds=sounds,
            rate_hz=audio.rate_hz if audio is not None else 0,
            source=source,
            episodes=[0] * len(places),
            at_s=[seen[place][0] / 1e9 for place in places],
            seed=seed,
        )

    return taken(made, chosen)


def _shown(places: list[int], stretch: list[int], cameras: int) -> dict[int, list[int]]:
    """Frames that stand in for the cameras, by the first one's; all of one stretch."""
    shift = max(1, len(stretch) // (len(places) * (cameras + 1) or 1))
    where = {place: index for index, place in enumerate(stretch)}
    return {
        place: [stretch[(where[place] + shift * k) % len(stretch)] for k in range(cameras)]
        for place in places
    }


def _up_to(times_ns: Int64, place: int, window: Window, first: int) -> list[int]:
    """Frames up to and with `place`; `first`, its stretch's, stands for those before it."""
    back_ns = np.arange(window.pictures)[:0:-1] * round(window.apart_s * 1e9)
    newest = np.searchsorted(times_ns, times_ns[place] - back_ns, side="right") - 1
    return [*(int(at) for at in np.maximum(newest, first)), place]


def _stacked(pictures: list[UInt8]) -> UInt8:
    return np.stack(pictures) if pictures else np.zeros((0, 1, 1, 3), np.uint8)


def _thumb(image: UInt8) -> Float32:
    down, across = max(1, image.shape[0] // _THUMB), max(1, image.shape[1] // _THUMB)
    thumb: Float32 = image[::down, ::across].astype(np.float32)
    return thumb


def _motion(thumbs: list[Float32]) -> Float32:
    """Mean change of brightness since the frame before, (n,); the first has its successor's."""
    if len(thumbs) < 2:
        return np.zeros(len(thumbs), np.float32)
    changes = [float(np.abs(b - a).mean()) for a, b in pairwise(thumbs)]
    return np.array([changes[0], *changes], np.float32)
