"""Small LeRobot datasets in the documented layouts, every picture its row's number."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow
from pyarrow import parquet

FPS, ROWS = 10, 12
CAMERAS = ("observation.images.front", "observation.images.wrist")
SIZES = ((32, 48), (48, 64))
"""Height and width: the wrist's camera is another model."""
TASKS = ("stack the cups", "wave")
JOINTS = ["shoulder", "elbow"]


def brightness(episode: int, frame: int, camera: int) -> int:
    """What a picture is filled with."""
    return 20 + 60 * (episode % 3) + 4 * frame + 2 * camera


def write(
    root: Path,
    version: str,
    episodes: int = 2,
    joints: Sequence[str] = JOINTS,
    speed: float = 0.1,
) -> None:
    """`ROWS` rows an episode; episode k has task k % 2 and moves twice as fast as the last."""
    old = version == "v2.1"
    video = "episode_{episode_index:06d}" if old else "file-{file_index:03d}"
    chunk = "chunk-{episode_chunk:03d}" if old else "chunk-{chunk_index:03d}"
    between = f"{chunk}/{{video_key}}" if old else f"{{video_key}}/{chunk}"
    features: dict[str, Any] = {
        name: {"dtype": "video", "shape": [*size, 3]}
        for name, size in zip(CAMERAS, SIZES, strict=True)
    }
    features["observation.state"] = {
        "dtype": "float32",
        "shape": [len(joints)],
        "names": {"motors": list(joints)},
    }
    meta = {
        "codebase_version": version,
        "fps": FPS,
        "chunks_size": 1000,
        "features": features,
        "video_path": f"videos/{between}/{video}.mp4",
    }
    (root / "meta").mkdir(parents=True)
    (root / "meta" / "info.json").write_text(json.dumps(meta))
    tables = [_rows(episode, len(joints), speed * 2**episode) for episode in range(episodes)]
    if old:
        lines = [json.dumps({"task_index": n, "task": task}) for n, task in enumerate(TASKS)]
        (root / "meta" / "tasks.jsonl").write_text("\n".join(lines) + "\n")
        for episode, table in enumerate(tables):
            _save(root / f"data/chunk-000/episode_{episode:06d}.parquet", table)
            for camera, name in enumerate(CAMERAS):
                place = root / f"videos/chunk-000/{name}/episode_{episode:06d}.mp4"
                _film(place, [(episode, frame, camera) for frame in range(ROWS)])
        return
    tasks = {"task_index": [0, 1], "__index_level_0__": list(TASKS)}
    _save(root / "meta/tasks.parquet", tasks)
    _save(
        root / "data/chunk-000/file-000.parquet",
        {name: [value for table in tables for value in table[name]] for name in tables[0]},
    )
    episodes_table: dict[str, list[Any]] = {"episode_index": list(range(episodes))}
    for camera, name in enumerate(CAMERAS):
        pictures = [(e, f, camera) for e in range(episodes) for f in range(ROWS)]
        _film(root / f"videos/{name}/chunk-000/file-000.mp4", pictures)
        episodes_table[f"videos/{name}/chunk_index"] = [0] * episodes
        episodes_table[f"videos/{name}/file_index"] = [0] * episodes
        begins = [episode * ROWS / FPS for episode in range(episodes)]
        episodes_table[f"videos/{name}/from_timestamp"] = begins
    _save(root / "meta/episodes/chunk-000/file-000.parquet", episodes_table)


def _rows(episode: int, joints: int, speed: float) -> dict[str, list[Any]]:
    signs = [1 - 2 * (joint % 2) for joint in range(joints)]
    return {
        "episode_index": [episode] * ROWS,
        "timestamp": [frame / FPS for frame in range(ROWS)],
        "task_index": [episode % 2] * ROWS,
        "observation.state": [[speed * frame * sign for sign in signs] for frame in range(ROWS)],
    }


def _save(path: Path, columns: dict[str, list[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table(columns), path)


def _film(path: Path, pictures: list[tuple[int, int, int]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        size = SIZES[pictures[0][2]]
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        stream.bit_rate = 4_000_000
        for picture in pictures:
            image = np.full((*size, 3), brightness(*picture), np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
