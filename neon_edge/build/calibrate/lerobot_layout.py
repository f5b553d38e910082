"""A LeRobot dataset on disk, v2.1 or v3.0: what `meta/` says, and every row but the pictures.

    v2.1  data/chunk-000/episode_000000.parquet      one file an episode, one video an episode
    v3.0  data/chunk-000/file-000.parquet            many episodes a file; meta/episodes says where

Layout: huggingface/lerobot `src/lerobot/datasets/`, `docs/source/lerobot-dataset-v3.mdx`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from neon_edge.errors import ConfigWrong, DeviceMissing
from neon_edge.types import Float32

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
        features = self.meta.get("features", {})
        self.cameras = [k for k, f in features.items() if f.get("dtype") == "video"]
        self.robot = ",".join(_names(features.get(STATE, {}).get("names")))
        self._tasks = _tasks(root, self.version)
        self._episodes = _episodes(root) if self.version == "v3.0" else {}
        self._read_rows()

    def _read_rows(self) -> None:
        files = sorted((self.root / "data").glob("chunk-*/*.parquet"))
        columns = ["episode_index", "timestamp", "task_index"]
        if STATE in self.meta.get("features", {}):
            columns.append(STATE)
        tables = [_table(file, columns) for file in files]
        if not any(table["episode_index"] for table in tables):
            raise ConfigWrong(
                "the dataset has no rows", f"{self.root}/data", "record some episodes"
            )

        def joined(name: str) -> Any:
            return np.concatenate([np.asarray(table[name]) for table in tables])

        self.episode = joined("episode_index").astype(np.int64)
        self.at_s = joined("timestamp").astype(np.float64)
        numbers = joined("task_index").astype(int).tolist()
        self._know("task", sorted(set(numbers) - set(self._tasks)), "tasks")
        if self.version == "v3.0":
            unknown = sorted(set(self.episode.tolist()) - set(self._episodes))
            self._know("episode", unknown, "episodes")
        self.tasks = [self._tasks[number] for number in numbers]
        self.state = np.zeros((len(self.episode), 0), np.float32)
        if STATE in columns:
            self.state = self._states([row for table in tables for row in table[STATE]])

    def _states(self, rows: list[Any]) -> Float32:
        # A robot of one joint has a number a row, and not a list.
        states = [np.atleast_1d(np.asarray(row, np.float32)) for row in rows]
        widths = sorted({len(state) for state in states})
        names = self.robot.count(",") + 1 if self.robot else widths[0]
        if widths != [names]:
            raise ConfigWrong(
                "the dataset names another number of joints than it holds",
                f"{names} names, states of {', '.join(map(str, widths))}: {self.robot}",
                f"correct features/{STATE}/names in meta/info.json, or leave those episodes out",
            )
        return np.stack(states)

    def _know(self, what: str, unknown: list[int], where: str) -> None:
        if unknown:
            raise ConfigWrong(
                f"the dataset has rows of {what} {unknown[0]}, which meta/ does not know",
                f"{self.root}/meta/{where}*",
                "download meta/ again: it is older than data/",
            )

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


def _tasks(root: Path, version: str) -> dict[int, str]:
    if version == "v2.1":
        path = root / "meta" / "tasks.jsonl"
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
            rows = [json.loads(line) for line in lines if line.strip()]
            return {int(row["task_index"]): str(row["task"]) for row in rows}
        except (OSError, ValueError, TypeError, KeyError) as failure:
            raise ConfigWrong(
                "the dataset's tasks cannot be read",
                f"{path}: {type(failure).__name__} {failure}",
                "download meta/ again",
            ) from None
    table = _table(root / "meta" / "tasks.parquet", None)
    # The text is pandas' index, which parquet keeps as a column of its own name.
    texts = table.get("task", table.get("__index_level_0__"))
    if texts is None:
        raise ConfigWrong(
            "the dataset's tasks have no text", f"{root}/meta/tasks.parquet", "convert it again"
        )
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
