"""Moments from a LeRobot dataset on disk, v2.1 or v3.0: parquet, mp4, several cameras, joint state.

    v2.1  data/chunk-000/episode_000000.parquet      one file an episode, one video an episode
    v3.0  data/chunk-000/file-000.parquet            many episodes a file; meta/episodes says where

Layout: huggingface/lerobot `src/lerobot/datasets/`, `docs/source/lerobot-dataset-v3.mdx`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from neon_edge.build.calibrate.draw import draw
from neon_edge.build.calibrate.moments import NO_WINDOW, CalibrationSet, Window
from neon_edge.build.calibrate.sound import windows_of
from neon_edge.capture.clip import load_av
from neon_edge.engine.manifest import AudioGeometry
from neon_edge.errors import ConfigWrong, DeviceMissing
from neon_edge.types import Float32, UInt8

STATE = "observation.state"
VERSIONS = ("v2.1", "v3.0")


class Place(NamedTuple):
    """Where an episode's pictures or sound are: a file, and when the episode begins in it."""

    path: Path
    from_s: float


class Dataset:
    """What `meta/` says, and every row of `data/` but the pictures."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.meta = _json(root / "meta" / "info.json")
        self.version = str(self.meta.get("codebase_version"))
        if self.version not in VERSIONS:
            raise ConfigWrong(
                f"a LeRobot dataset in a layout we do not know: {self.version}",
                str(root / "meta" / "info.json"),
                f"convert it with lerobot's own tools to one of {', '.join(VERSIONS)}",
            )
        features = self.meta["features"]
        self.cameras = [k for k, f in features.items() if f.get("dtype") == "video"]
        self.robot = ",".join(_names(features.get(STATE, {}).get("names")))
        self._tasks = _tasks(root, self.version)
        self._episodes = _episodes(root) if self.version == "v3.0" else {}
        self._read_rows()

    def _read_rows(self) -> None:
        files = sorted((self.root / "data").glob("chunk-*/*.parquet"))
        columns = ["episode_index", "timestamp", "task_index"]
        if STATE in self.meta["features"]:
            columns.append(STATE)
        tables = [_table(file, columns) for file in files]
        if not tables:
            raise ConfigWrong(
                "the dataset has no rows", f"{self.root}/data", "record some episodes"
            )

        def joined(name: str) -> Any:
            return np.concatenate([np.asarray(table[name]) for table in tables])

        self.episode = joined("episode_index").astype(np.int64)
        self.at_s = joined("timestamp").astype(np.float64)
        self.tasks = [self._tasks[int(number)] for number in joined("task_index")]
        self.state = np.zeros((len(self.episode), 0), np.float32)
        if STATE in columns:
            # A robot of one joint has a number a row, and not a list.
            states = np.stack(list(joined(STATE))).astype(np.float32)
            self.state = states.reshape(len(states), -1)

    def place(self, episode: int, camera: str) -> Place:
        """Where `camera` saw `episode`."""
        if self.version == "v2.1":
            chunk = episode // int(self.meta.get("chunks_size", 1000))
            path = str(self.meta["video_path"]).format(
                episode_chunk=chunk, video_key=camera, episode_index=episode
            )
            return Place(self.root / path, 0.0)
        row = self._episodes[episode]
        path = str(self.meta["video_path"]).format(
            video_key=camera,
            chunk_index=int(row[f"videos/{camera}/chunk_index"]),
            file_index=int(row[f"videos/{camera}/file_index"]),
        )
        return Place(self.root / path, float(row[f"videos/{camera}/from_timestamp"]))

    def heard(self, episode: int, camera: str) -> Place:
        """Where the sound of `episode` is: beside the pictures where meta says so, else in them."""
        named = [str(key) for key in self.meta.get("audio", {})]
        if not named:
            return self.place(episode, camera)
        path = str(self.meta["audio_path"]).format(
            episode_chunk=episode // int(self.meta.get("chunks_size", 1000)),
            audio_key=named[0],
            episode_index=episode,
        )
        return Place(self.root / path, 0.0)

    def motion(self) -> Float32:
        """How far the joints moved since the row before, (n,), in the state's own units."""
        moved = np.zeros(len(self.state), np.float32)
        moved[1:] = np.linalg.norm(np.diff(self.state, axis=0), axis=1)
        moved[1:][np.diff(self.episode) != 0] = 0
        return moved


def from_lerobot(
    root: Path,
    count: int,
    cameras: Sequence[str],
    seed: int,
    audio: AudioGeometry | None = None,
    window: Window = NO_WINDOW,
) -> CalibrationSet:
    """`count` moments over all tasks and speeds. `cameras` in the recipe's order; empty is all.

    With `audio`, what is heard up to each moment; with a `window`, so many pictures of the one
    camera up to it. Raises `ConfigWrong` where the dataset is damaged, lacks a camera, or is mute
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
    if window.apart_s and len(wanted) != 1:
        raise ConfigWrong(
            "this backbone watches one camera",
            f"the dataset has {', '.join(wanted)}",
            "name the one with --camera",
        )
    rows = draw(dataset.motion(), dataset.tasks, count, seed)
    return CalibrationSet(
        cameras=tuple(
            pictures
            for camera in wanted
            for pictures in _pictures(dataset, rows, camera, window.back_s)
        ),
        instructions=[dataset.tasks[row] for row in rows],
        names=[f"episode {dataset.episode[row]} at {dataset.at_s[row]:.2f} s" for row in rows],
        joints=dataset.state[rows],
        robot=dataset.robot,
        sounds=_sounds(dataset, rows, wanted[0], audio) if audio is not None and wanted else None,
        rate_hz=audio.rate_hz if audio is not None else 0,
    )


def _sounds(dataset: Dataset, rows: list[int], camera: str, audio: AudioGeometry) -> Float32:
    """(rows, samples). Raises `ConfigWrong` where there is none."""
    wanted: dict[Place, list[int]] = {}
    for index, row in enumerate(rows):
        wanted.setdefault(dataset.heard(int(dataset.episode[row]), camera), []).append(index)
    found: Float32 = np.zeros((len(rows), audio.samples), np.float32)
    for heard, places in wanted.items():
        if not heard.path.is_file():
            raise _missing(heard.path)
        at_s = [heard.from_s + float(dataset.at_s[rows[index]]) for index in places]
        # Datasets date rows in float32: what is below a microsecond is no time.
        found[places] = windows_of(heard.path, [round(at * 1e6) * 1000 for at in at_s], audio)
    return found


def _pictures(dataset: Dataset, rows: list[int], camera: str, back_s: list[float]) -> list[UInt8]:
    """(rows, height, width, 3) for each of `back_s` ahead of them, or the first of the episode.

    Raises `ConfigWrong` where the camera changed its size.
    """
    wanted: dict[Path, list[tuple[float, int]]] = {}
    for index, (back, row) in enumerate(product(back_s, rows)):
        place = dataset.place(int(dataset.episode[row]), camera)
        at_s = place.from_s + max(0.0, float(dataset.at_s[row]) - back)
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


def _tasks(root: Path, version: str) -> dict[int, str]:
    if version == "v2.1":
        lines = (root / "meta" / "tasks.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines if line.strip()]
        return {int(row["task_index"]): str(row["task"]) for row in rows}
    table = _table(root / "meta" / "tasks.parquet", None)
    # The text is pandas' index, which parquet keeps as a column of its own name.
    texts = table.get("task", table.get("__index_level_0__"))
    if texts is None:
        raise ConfigWrong("the dataset's tasks have no text", f"{root}/meta/tasks.parquet", "")
    return {int(n): str(t) for n, t in zip(table["task_index"], texts, strict=True)}


def _episodes(root: Path) -> dict[int, Mapping[str, Any]]:
    found: dict[int, Mapping[str, Any]] = {}
    for file in sorted((root / "meta" / "episodes").glob("chunk-*/*.parquet")):
        table = _table(file, None)
        for number, episode in enumerate(table["episode_index"]):
            found[int(episode)] = {name: column[number] for name, column in table.items()}
    return found


def _table(file: Path, columns: list[str] | None) -> dict[str, list[Any]]:
    try:
        from pyarrow import parquet
    except ImportError as failure:
        raise DeviceMissing(
            "pyarrow, which reads LeRobot datasets, is not installed",
            str(failure),
            "pip install 'neon-edge[calibrate]'",
        ) from failure
    try:
        return dict(parquet.read_table(file, columns=columns).to_pydict())
    except Exception as failure:
        raise ConfigWrong(
            f"{file.name} cannot be read", f"{file}: {failure}", "download it again"
        ) from failure


def _names(stated: Any) -> list[str]:
    """Joint names, which datasets state as a list, or as a table of one list."""
    if isinstance(stated, Mapping):
        return [str(name) for names in stated.values() for name in names]
    return [str(name) for name in stated or []]


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as failure:
        raise ConfigWrong(
            f"no LeRobot dataset in {path.parent.parent}", f"{path}: {failure}", "give its root"
        ) from None
