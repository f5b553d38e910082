"""Moments from a LeRobot dataset: pictures, joints, words and sound taken together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np

from neon_edge.build.calibrate.lerobot_layout import Dataset, Place
from neon_edge.build.calibrate.moments import CalibrationSet, Taken, taken
from neon_edge.build.calibrate.sound import windows_of
from neon_edge.build.calibrate.split import Counts, Pools, drawn, split
from neon_edge.build.calibrate.window import NO_WINDOW, Window
from neon_edge.capture.clip import load_av
from neon_edge.engine.files import sha256_file
from neon_edge.engine.manifest import AudioGeometry
from neon_edge.errors import ConfigWrong
from neon_edge.types import Float32, UInt8


def from_lerobot(
    root: Path,
    count: int,
    cameras: Sequence[str],
    seed: int,
    audio: AudioGeometry | None = None,
    window: Window = NO_WINDOW,
) -> CalibrationSet:
    """`count` moments to calibrate on, of the episodes that nothing is judged by."""
    return take_lerobot(root, Counts(count), cameras, seed, audio, window).moments


def take_lerobot(
    root: Path,
    counts: Counts,
    cameras: Sequence[str],
    seed: int,
    audio: AudioGeometry | None = None,
    window: Window = NO_WINDOW,
) -> Taken:
    """Moments over all tasks and speeds. `cameras` in the recipe's order; empty is all.

    With `audio`, what is heard up to each moment; with a `window`, so many pictures of each of its
    cameras up to it. Raises `ConfigWrong` where the dataset is damaged, lacks a camera, or is mute
    and sound is wanted.
    """
    dataset = Dataset(root)
    wanted = list(cameras) or dataset.cameras
    unknown = [camera for camera in wanted if camera not in dataset.cameras]
    if unknown:
        raise ConfigWrong(
            f"the dataset has no camera {unknown[0]!r}",
            f"it has {', '.join(dataset.cameras)}",
            "name its cameras with --camera, in the recipe's order",
        )
    if window.apart_s and len(wanted) != window.cameras:
        one = window.cameras == 1
        raise ConfigWrong(
            f"this backbone watches {'one camera' if one else f'{window.cameras} cameras'}",
            f"of the dataset: {', '.join(wanted) or 'none'}",
            "name the one with --camera" if one else "name them with --camera, in its order",
        )
    episodes = dataset.episode.tolist()
    pools = split(episodes, dataset.tasks, seed)
    chosen = drawn(dataset.motion(), episodes, dataset.tasks, counts, seed)
    begins = _begins(dataset, pools)
    source = f"{root.resolve().name} {_digest(root)[:16]}"

    def made(rows: list[int]) -> CalibrationSet:
        sounds = None
        if audio is not None and wanted and rows:
            sounds = _sounds(dataset, rows, wanted[0], audio, begins)
        return CalibrationSet(
            cameras=tuple(
                pictures
                for camera in wanted
                for pictures in _pictures(dataset, rows, camera, window.back_s, begins)
            ),
            instructions=[dataset.tasks[row] for row in rows],
            names=[f"episode {dataset.episode[row]} at {dataset.at_s[row]:.2f} s" for row in rows],
            joints=dataset.state[rows],
            robot=dataset.robot,
            sounds=sounds,
            rate_hz=audio.rate_hz if audio is not None else 0,
            source=source,
            episodes=[episodes[row] for row in rows],
            at_s=dataset.at_s[rows].tolist(),
            seed=seed,
        )

    return taken(made, chosen)


def _begins(dataset: Dataset, pools: Pools) -> dict[int, float]:
    """Of every row in a pool, when that pool's part of its episode begins."""
    found: dict[int, float] = {}
    for pool in pools:
        first: dict[int, float] = {}
        for row in pool:
            found[row] = first.setdefault(int(dataset.episode[row]), float(dataset.at_s[row]))
    return found


def _digest(root: Path) -> str:
    """Of every file of rows: pictures would take minutes, and belong to them."""
    digest = hashlib.sha256()
    for file in sorted((root / "data").glob("chunk-*/*.parquet")):
        digest.update(sha256_file(file).encode())
    return digest.hexdigest()


def _sounds(
    dataset: Dataset, rows: list[int], camera: str, audio: AudioGeometry, begins: dict[int, float]
) -> Float32:
    """(rows, samples), silent ahead of `begins`. Raises `ConfigWrong` where there is none."""
    wanted: dict[Place, list[int]] = {}
    for index, row in enumerate(rows):
        wanted.setdefault(dataset.heard(int(dataset.episode[row]), camera), []).append(index)
    found: Float32 = np.zeros((len(rows), audio.samples), np.float32)
    for heard, places in wanted.items():
        if not heard.path.is_file():
            raise _missing(heard.path)
        at_ns = [_ns(heard.from_s + float(dataset.at_s[rows[index]])) for index in places]
        since_ns = [_ns(heard.from_s + begins[rows[index]]) for index in places]
        found[places] = windows_of(heard.path, at_ns, audio, since_ns)
    return found


def _ns(at_s: float) -> int:
    # Datasets date rows in float32: what is below a microsecond is no time.
    return round(at_s * 1e6) * 1000


def _pictures(
    dataset: Dataset, rows: list[int], camera: str, back_s: list[float], begins: dict[int, float]
) -> list[UInt8]:
    """(rows, height, width, 3) for each of `back_s` ahead of them, none ahead of `begins`.

    Raises `ConfigWrong` where the camera changed its size.
    """
    wanted: dict[Path, list[tuple[float, int]]] = {}
    for index, (back, row) in enumerate(product(back_s, rows)):
        place = dataset.place(int(dataset.episode[row]), camera)
        at_s = place.from_s + max(begins[row], float(dataset.at_s[row]) - back)
        wanted.setdefault(place.path, []).append((at_s, index))
    found: dict[int, UInt8] = {}
    for video, times in wanted.items():
        found.update(_decoded(video, sorted(times), 0.5 / float(dataset.meta["fps"])))
    sizes = sorted({picture.shape[:2] for picture in found.values()})
    if len(sizes) > 1:
        raise ConfigWrong(
            f"camera {camera!r} changes its size between episodes",
            f"height and width {', '.join(str(size) for size in sizes)}",
            "calibrate on episodes recorded with one setting",
        )
    if not rows:
        return [np.zeros((0, 1, 1, 3), np.uint8) for _ in back_s]
    return np.split(np.stack([found[index] for index in range(len(found))]), len(back_s))


def _decoded(video: Path, times: list[tuple[float, int]], tolerance_s: float) -> dict[int, UInt8]:
    """The first picture no earlier than each time, less half a frame."""
    if not video.is_file():
        raise _missing(video)
    found: dict[int, UInt8] = {}
    waiting = list(times)
    av = load_av()
    try:
        with av.open(str(video)) as container:
            for frame in container.decode(video=0):
                while waiting and frame.time >= waiting[0][0] - tolerance_s:
                    picture = np.ascontiguousarray(frame.to_ndarray(format="rgb24"))
                    found[waiting.pop(0)[1]] = picture
                if not waiting:
                    return found
    except av.FFmpegError as failure:
        raise ConfigWrong(
            "a video of the dataset is damaged", f"{video}: {failure}", "download it again"
        ) from failure
    raise ConfigWrong(
        "a video of the dataset ends early",
        f"{video}: nothing at {waiting[0][0]:.3f} s",
        "download it again",
    )


def _missing(path: Path) -> ConfigWrong:
    what = "a recording" if path.suffix == ".wav" else "a video"
    return ConfigWrong(f"{what} of the dataset is not there", str(path), "download it whole")
