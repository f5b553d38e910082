"""A LeRobot v2.1 dataset that grows by whole episodes: what `calibrate --lerobot` reads.

`meta/info.json` is written last and says how many episodes there are; an episode that broke off
before that is written over by the next. Microphones are WAV files beside, which the layout has no
place for: `audio_path` in info.json says where.

Layout: huggingface/lerobot v0.3.3 `src/lerobot/datasets/{utils,lerobot_dataset}.py`.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neon_edge import __version__
from neon_edge.errors import ConfigWrong, DeviceMissing, UsageWrong
from neon_edge.runtime.episodes.film import Film, SoundTrack, partial, unwritten
from neon_edge.runtime.episodes.stats import Summary, column_stats
from neon_edge.types import AudioWindow, Float32, UInt8

VERSION = "v2.1"
CHUNK = 1000
STATE, CAPTURED = "observation.state", "captured_s"
_PARQUET = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
_VIDEO = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
_AUDIO = "audio/chunk-{episode_chunk:03d}/{audio_key}/episode_{episode_index:06d}.wav"
_COUNTED = ("frame_index", "episode_index", "index", "task_index")
_SAME = ("codebase_version", "robot_type", "fps", "features", "audio")


@dataclass(frozen=True)
class Form:
    """What all episodes of a dataset have in common."""

    robot: str
    joints: list[str]
    cameras: dict[str, tuple[int, int]]
    """Name, in the robot file's order: height and width."""
    fps: int
    microphone: str = ""
    rate_hz: int = 0

    @property
    def pictures(self) -> list[str]:
        """The cameras' names in the dataset."""
        return [f"observation.images.{camera}" for camera in self.cameras]


class Dataset:
    """One that is there, or a new one.

    Raises `UsageWrong` for a directory of something else, `ConfigWrong` for another robot's.
    """

    def __init__(self, root: Path, form: Form) -> None:
        _arrow()
        self.root = root
        self.form = form
        self.meta = _fresh(form)
        place = root / "meta" / "info.json"
        if place.exists():
            found = json.loads(place.read_text(encoding="utf-8"))
            _refuse_other(found, self.meta, place)
            self.meta = found
        elif root.exists() and any(root.iterdir()):
            raise UsageWrong(
                f"{root} is not empty and no LeRobot dataset", "", "name a new directory"
            )
        self._episodes = [row for row in _lines(root, "episodes") if self._whole(row)]
        self._stats = [row for row in _lines(root, "episodes_stats") if self._whole(row)]
        self._tasks = {row["task"]: row["task_index"] for row in _lines(root, "tasks")}

    def _whole(self, row: Mapping[str, Any]) -> bool:
        return bool(row["episode_index"] < self.number)

    @property
    def number(self) -> int:
        """The next episode's."""
        return int(self.meta["total_episodes"])

    def path(self, pattern: str, **names: str) -> Path:
        """Of the next episode."""
        chunk = self.number // CHUNK
        return self.root / pattern.format(episode_chunk=chunk, episode_index=self.number, **names)

    def keep(
        self, columns: dict[str, Any], stats: dict[str, Any], task: str, note: dict[str, Any]
    ) -> None:
        """Write the next episode's rows and count it. Pictures and sound are there already."""
        rows, first = len(columns["timestamp"]), int(self.meta["total_frames"])
        number, index = self.number, self._tasks.setdefault(task, len(self._tasks))
        for name, values in zip(
            _COUNTED,
            (np.arange(rows), np.full(rows, number), first + np.arange(rows), np.full(rows, index)),
            strict=True,
        ):
            columns[name] = values.astype(np.int64)
        stats |= {name: column_stats(column) for name, column in columns.items()}
        length = {"episode_index": number, "tasks": [task], "length": rows}
        self._episodes.append(length | note)
        self._stats.append({"episode_index": number, "stats": stats})
        tasks = [{"task_index": n, "task": text} for text, n in self._tasks.items()]
        for name, lines in (
            ("tasks", tasks), ("episodes", self._episodes), ("episodes_stats", self._stats)
        ):  # fmt: skip
            _write(self.root / "meta" / f"{name}.jsonl", [json.dumps(line) for line in lines])
        _write_table(self.path(_PARQUET), columns)
        self.meta |= {
            "total_episodes": number + 1,
            "total_frames": first + rows,
            "total_tasks": len(tasks),
            "total_videos": (number + 1) * len(self.form.cameras),
            "total_chunks": number // CHUNK + 1,
            "splits": {"train": f"0:{number + 1}"},
        }
        _write(self.root / "meta" / "info.json", [json.dumps(self.meta, indent=2)])


class Episode:
    """One being recorded. Either `close` or `abandon` ends it."""

    def __init__(self, dataset: Dataset, begun_ns: int) -> None:
        self._dataset = dataset
        form = dataset.form
        self._films = [
            Film(dataset.path(_VIDEO, video_key=name), size, form.fps)
            for name, size in zip(form.pictures, form.cameras.values(), strict=True)
        ]
        self._seen = [Summary(3) for _ in self._films]
        self._begun_ns = begun_ns
        self.sound: SoundTrack | None = None
        if form.microphone:
            path = dataset.path(_AUDIO, audio_key=f"observation.audio.{form.microphone}")
            self.sound = SoundTrack(path, form.rate_hz, begun_ns)
        self._state: list[Float32] = []
        self._captured: list[Float32] = []

    def __len__(self) -> int:
        return len(self._state)

    def add(self, images: Sequence[UInt8], captured_ns: Sequence[int], state: Float32) -> None:
        """The next row: a picture a camera, when each was taken, joints (joints,) in rad.

        Raises `ConfigWrong` where a camera has changed its size.
        """
        for film, image in zip(self._films, images, strict=True):
            film.check(image)
        for film, seen, image in zip(self._films, self._seen, images, strict=True):
            film.add(image)
            seen.see(image)
        self._state.append(state.copy())
        since_s = [(at_ns - self._begun_ns) / 1e9 for at_ns in captured_ns]
        self._captured.append(np.array(since_s, np.float32))

    def hear(self, window: AudioWindow | None) -> None:
        """The microphone's newest window."""
        if self.sound is not None:
            self.sound.hear(window)

    def close(self, task: str, note: dict[str, Any]) -> int:
        """Keep it; its number. `note` goes beside its length in `episodes.jsonl`."""
        number, fps = self._dataset.number, self._dataset.form.fps
        for film in self._films:
            film.close()
        if self.sound is not None:
            self.sound.close(len(self) * 1_000_000_000 // fps)
        columns: dict[str, Any] = {
            STATE: np.stack(self._state),
            CAPTURED: np.stack(self._captured),
            "timestamp": (np.arange(len(self)) / fps).astype(np.float32),
        }
        names = self._dataset.form.pictures
        seen = {n: summary.told(image=True) for n, summary in zip(names, self._seen, strict=True)}
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        self._dataset.keep(columns, seen, task, {"utc": now, "neon_edge": __version__} | note)
        return number

    def abandon(self) -> None:
        """Leave no trace."""
        for film in self._films:
            film.abandon()
        if self.sound is not None:
            self.sound.abandon()


def _fresh(form: Form) -> dict[str, Any]:
    features: dict[str, Any] = {}
    for name, (height, width) in zip(form.pictures, form.cameras.values(), strict=True):
        features[name] = {
            "dtype": "video",
            "shape": [height, width, 3],
            "names": ["height", "width", "channels"],
            "info": {
                "video.height": height, "video.width": width, "video.channels": 3,
                "video.codec": "h264", "video.fps": form.fps, "video.is_depth_map": False,
                "video.pix_fmt": "yuv444p" if height % 2 or width % 2 else "yuv420p",
                "has_audio": False,
            },
        }  # fmt: skip
    for name, of in ((STATE, form.joints), (CAPTURED, list(form.cameras))):
        features[name] = {"dtype": "float32", "shape": [len(of)], "names": of}
    features["timestamp"] = {"dtype": "float32", "shape": [1], "names": None}
    features |= {name: {"dtype": "int64", "shape": [1], "names": None} for name in _COUNTED}
    heard = {f"observation.audio.{form.microphone}": {"rate_hz": form.rate_hz}}
    return {
        "codebase_version": VERSION,
        "robot_type": form.robot,
        "total_episodes": 0, "total_frames": 0, "total_tasks": 0, "total_videos": 0,
        "total_chunks": 0, "chunks_size": CHUNK,
        "fps": form.fps,
        "splits": {},
        "data_path": _PARQUET, "video_path": _VIDEO, "audio_path": _AUDIO,
        "audio": heard if form.microphone else {},
        "features": features,
    }  # fmt: skip


def _refuse_other(found: Mapping[str, Any], wanted: Mapping[str, Any], place: Path) -> None:
    for key in _SAME:
        if found.get(key) != wanted[key]:
            raise ConfigWrong(
                "the dataset that is there is another robot's, or was recorded otherwise",
                f"{place}: {key} is not what this recording would have",
                "record into a new directory",
            )


def _lines(root: Path, name: str) -> list[Any]:
    path = root / "meta" / f"{name}.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def _write(path: Path, lines: Sequence[str]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
        partial(path).replace(path)
    except OSError as failure:
        raise unwritten(path, failure) from failure


def _write_table(path: Path, columns: Mapping[str, Any]) -> None:
    arrow, parquet = _arrow()
    # LeRobot takes a column of one number a row for a plain number.
    plain = {
        name: list(column) if column.ndim > 1 and column.shape[1] > 1 else column.reshape(-1)
        for name, column in columns.items()
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(arrow.table(plain), partial(path))
        partial(path).replace(path)
    except OSError as failure:
        raise unwritten(path, failure) from failure


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as failure:
        raise DeviceMissing(
            "pyarrow, which writes LeRobot datasets, is not installed",
            str(failure),
            "pip install 'neon-edge[calibrate]'",
        ) from failure
    return pyarrow, parquet
