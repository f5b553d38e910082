"""An episode of a limp robot: what is in it, when it was, and what becomes of one that breaks off.

On a clock that only sleeping moves, so that every row, picture and sound has its one right value.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np
import pytest
import scipy.io.wavfile  # type: ignore[import-untyped]
from pyarrow import parquet

from neon_edge.build.calibrate.lerobot import from_lerobot
from neon_edge.build.calibrate.moments import checked
from neon_edge.capture.clip import decode_frames
from neon_edge.clock import FakeClock
from neon_edge.config import RobotConfig, load_robot
from neon_edge.config.robot import ClipCamera, WavMicrophone
from neon_edge.engine.manifest import AudioGeometry
from neon_edge.errors import BusFailed, ConfigWrong, NeonEdgeError, UsageWrong
from neon_edge.runtime.episodes.record import Recorded, record
from neon_edge.runtime.spec import RunSpec, write_spec
from neon_edge.sim.body import Body
from neon_edge.sim.launch import simulated
from tests.build.test_listening import listening
from tests.transport.inline import inline_buses

FPS, ROWS, RATE = 25, 30, 16000
SIZES = {"wrist": (32, 48), "front": (33, 47)}
"""In an order that is not the alphabet's; one with odd sides."""
Step = Callable[[int, Body, FakeClock], None]


def film(path: Path, size: tuple[int, int]) -> None:
    """Two seconds at 20 Hz; picture n is 30 + 4 n."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=20, options={"crf": "4"})
        stream.height, stream.width, stream.pix_fmt = *size, "yuv444p"
        for number in range(40):
            image = np.full((*size, 3), 30 + 4 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory) -> RobotConfig:
    place = tmp_path_factory.mktemp("senses")
    for name, size in SIZES.items():
        film(place / f"{name}.mp4", size)
    track = np.random.default_rng(3).uniform(-0.9, 0.9, 3 * RATE)
    scipy.io.wavfile.write(place / "ear.wav", RATE, (track * 32768).astype(np.int16))
    return msgspec.structs.replace(
        simulated(load_robot("sim")),
        cameras=[ClipCamera(name, str(place / f"{name}.mp4")) for name in SIZES],
        microphone=WavMicrophone("ear", str(place / "ear.wav")),
    )


def swing(number: int) -> float:
    """Where the arm is led at a row, rad."""
    return 0.3 * float(np.sin(number / 5))


def led(robot: RobotConfig, number: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Where the joints are then: those that cannot go so far, at their ends."""
    ends = np.array([(joint.lower, joint.upper) for joint in robot.joints])
    return np.asarray(np.clip(swing(number), ends[:, 0], ends[:, 1]))


class Took:
    """A recording, and whether any motor was told anything or held its place while it was made."""

    def __init__(
        self, robot: RobotConfig, root: Path, rows: int | None, task: str, step: Step | None = None
    ) -> None:
        self.clock = FakeClock()
        self.body = Body(robot, self.clock.now_ns())
        self.told: list[str] = []
        self.row = 0
        self.stiff = 0.0
        self.step = step
        with inline_buses(self.body, self.clock):
            self.said: Recorded = record(
                robot, root, rows, FPS, task, self.clock, self._stopped, self.told.append
            )

    def _stopped(self) -> bool:
        """Asked ahead of every row: leads the joints there."""
        self.body.dynamics.position[:] = self.body._signs * swing(self.row) + self.body._offsets
        self.stiff += float(self.body.gains()[0].sum())
        if self.step is not None:
            self.step(self.row, self.body, self.clock)
        self.row += 1
        return self.step is not None and self.row > ROWS


@pytest.fixture(scope="module")
def root(robot: RobotConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two episodes."""
    out = tmp_path_factory.mktemp("recorded") / "set"
    for task in ("wave", "bow"):
        took = Took(robot, out, ROWS, task)
        assert (took.said.rows, took.said.repeated, took.said.unanswered) == (ROWS, 0, 0)
        assert took.body.received().sum() == 0 and took.stiff == 0.0
    return out


def table(root: Path, episode: int) -> Any:
    return parquet.read_table(root / f"data/chunk-000/episode_{episode:06d}.parquet")


def test_the_layout_is_lerobots(root: Path, robot: RobotConfig) -> None:
    meta = json.loads((root / "meta/info.json").read_text())
    assert (meta["codebase_version"], meta["fps"], meta["robot_type"]) == ("v2.1", FPS, "sim")
    assert (meta["total_episodes"], meta["total_frames"], meta["total_tasks"]) == (2, 2 * ROWS, 2)
    assert (meta["total_videos"], meta["total_chunks"]) == (4, 1)
    assert meta["splits"] == {"train": "0:2"}
    assert meta["features"]["observation.state"]["names"] == robot.joint_names
    lines = {
        name: [json.loads(line) for line in (root / f"meta/{name}.jsonl").read_text().splitlines()]
        for name in ("tasks", "episodes", "episodes_stats")
    }
    assert lines["tasks"] == [
        {"task_index": 0, "task": "wave"}, {"task_index": 1, "task": "bow"}
    ]  # fmt: skip
    assert [row["length"] for row in lines["episodes"]] == [ROWS, ROWS]
    stats = lines["episodes_stats"][1]["stats"]
    assert set(stats) == set(meta["features"])
    assert np.shape(stats["observation.images.front"]["mean"]) == (3, 1, 1)
    for episode in range(2):
        rows = table(root, episode)
        assert set(rows.column_names) == {
            name for name, feature in meta["features"].items() if feature["dtype"] != "video"
        }
        assert rows["index"].to_pylist() == list(range(episode * ROWS, (episode + 1) * ROWS))
        assert set(rows["task_index"].to_pylist()) == {episode}
        state = np.array(rows["observation.state"].to_pylist())
        assert stats["observation.state"]["min"] == pytest.approx(state.min(axis=0), abs=1e-6)
        assert np.allclose(np.array(rows["timestamp"]) * FPS, np.arange(ROWS), atol=1e-4)
        for name, size in SIZES.items():
            key = f"observation.images.{name}"
            assert meta["features"][key]["shape"] == [*size, 3]
            path = meta["video_path"].format(episode_chunk=0, video_key=key, episode_index=episode)
            with av.open(str(root / path)) as container:
                times = [frame.time for frame in container.decode(video=0)]
            assert times == pytest.approx([k / FPS for k in range(ROWS)], abs=1e-4)
    assert list(root.rglob("*.part")) == []


def test_rows_pictures_and_joints_are_of_one_time(root: Path, robot: RobotConfig) -> None:
    for episode in range(2):
        rows = table(root, episode)
        taken = np.array(rows["captured_s"].to_pylist())
        joints = np.array(rows["observation.state"].to_pylist())
        assert np.abs(joints - np.array([led(robot, k) for k in range(ROWS)])).max() < 3e-3
        # At most a camera's period old, and never from the future.
        age = np.arange(ROWS)[:, None] / FPS - taken
        assert age.min() > -1e-5 and age.max() < 1 / 20 + 1e-5
        for camera, name in enumerate(SIZES):
            video = f"videos/chunk-000/observation.images.{name}/episode_{episode:06d}.mp4"
            seen = [float(image.mean()) for image in decode_frames(root / video)]
            # Pictures count from when the robot's clip began, rows from when the episode did.
            numbers = np.rint((np.array(seen) - 30) / 4)
            assert np.abs(np.array(seen) - 30 - 4 * numbers).max() < 1.5
            numbers = np.unwrap(numbers, period=40)  # the clip begins again
            began_s = taken[0, camera] - numbers[0] / 20
            assert taken[:, camera] == pytest.approx(began_s + numbers / 20, abs=1e-4)
            assert len(set(numbers)) > 20


def test_it_is_calibrated_on_as_it_is(root: Path, robot: RobotConfig) -> None:
    moments = from_lerobot(root, 8, [], seed=0)
    checked(moments, 2, ",".join(robot.joint_names))
    assert [camera.shape[1:3] for camera in moments.cameras] == list(SIZES.values())
    assert set(moments.instructions) == {"wave", "bow"}
    for name, joints in zip(moments.names, moments.joints, strict=True):
        row = round(float(name.split(" at ")[1].removesuffix(" s")) * FPS)
        assert joints == pytest.approx(led(robot, row), abs=3e-3)


def test_what_is_heard_is_of_that_time_too(root: Path, robot: RobotConfig) -> None:
    audio = listening(2).adaptor.audio
    assert isinstance(audio, AudioGeometry) and audio.rate_hz == RATE
    moments = from_lerobot(root, 6, [], 0, audio)
    assert moments.sounds is not None and moments.sounds.shape == (6, audio.samples)
    assert robot.microphone is not None
    _, track = scipy.io.wavfile.read(robot.microphone.path)
    played = np.tile(track / 32768.0, 3)
    begins = set()
    for name, sound in zip(moments.names, moments.sounds, strict=True):
        count = round(float(name.split(" at ")[1].removesuffix(" s")) * RATE)
        silent = max(0, audio.samples - count)
        assert not sound[:silent].any()
        if count < 200:
            continue
        # Where in the recording it begins to be heard, less how long the episode had run.
        heard = sound[silent : silent + 200]
        close = np.flatnonzero(np.abs(played[: len(track)] - heard[0]) < 1e-6)
        place = next(at for at in close if np.allclose(played[at : at + 200], heard, atol=1e-6))
        begins.add(int(place) - max(0, count - audio.samples))
    assert len(begins) == 1
    meta = root / "audio/chunk-000/observation.audio.ear/episode_000001.wav"
    rate, kept = scipy.io.wavfile.read(meta)
    assert rate == RATE and len(kept) >= ROWS * RATE // FPS
    meta.rename(meta.with_suffix(".gone"))
    try:
        with pytest.raises(ConfigWrong, match="a recording of the dataset is not there"):
            from_lerobot(root, 6, [], 0, audio)
    finally:
        meta.with_suffix(".gone").rename(meta)


def test_another_robot_or_rate_is_not_mixed_in(
    root: Path, robot: RobotConfig, tmp_path: Path
) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*"))
    other = msgspec.structs.replace(robot, cameras=robot.cameras[:1])
    with pytest.raises(ConfigWrong, match="another robot's"):
        Took(other, root, 2, "wave")
    assert sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*")) == before
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(UsageWrong, match="not empty"):
        Took(robot, tmp_path, 2, "wave")


def test_told_to_stop_it_keeps_what_there_is(robot: RobotConfig, tmp_path: Path) -> None:
    took = Took(robot, tmp_path / "set", None, "wave", lambda *_: None)
    assert (took.said.episode, took.said.rows) == (0, ROWS)
    assert len(table(tmp_path / "set", 0)) == ROWS


def test_a_machine_that_stalls_repeats_rows_and_says_so(robot: RobotConfig, tmp_path: Path) -> None:
    def stall(row: int, _: Body, clock: FakeClock) -> None:
        clock.advance_ns(300_000_000 if row == 10 else 0)

    took = Took(robot, tmp_path / "set", ROWS, "wave", stall)
    assert took.said.rows == ROWS and 6 <= took.said.repeated <= 8
    rows = table(tmp_path / "set", 0)
    joints = np.array(rows["observation.state"].to_pylist())[:, 0]
    assert (joints[10 : 9 + took.said.repeated] == joints[9]).all()
    age = np.arange(ROWS)[:, None] / FPS - np.array(rows["captured_s"].to_pylist())
    assert age.min() > -1e-5


def test_a_bus_that_dies_costs_only_what_comes_after(robot: RobotConfig, tmp_path: Path) -> None:
    def die(row: int, body: Body, _: FakeClock) -> None:
        if row == 12:
            for motors in body.buses.values():
                motors.hear = lambda raw, now_ns: []  # type: ignore[method-assign]

    with pytest.raises(BusFailed, match="no longer answers") as caught:
        Took(robot, tmp_path / "set", None, "wave", die)
    assert isinstance(caught.value, NeonEdgeError) and caught.value.exit_code == 74
    kept = len(table(tmp_path / "set", 0))
    assert kept >= 12
    assert from_lerobot(tmp_path / "set", 3, [], 0).robot.startswith(robot.joint_names[0])


def test_motors_that_a_run_drives_are_left_alone(
    robot: RobotConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driven = [msgspec.structs.replace(bus, channel=f"can{n}") for n, bus in enumerate(robot.buses)]
    run = tmp_path / f"neon-edge-{os.getpid()}-x"
    run.mkdir()
    ours = msgspec.structs.replace(robot, buses=driven)
    write_spec(RunSpec(robot=ours, plans="", directory=str(run)))
    monkeypatch.setattr("neon_edge.runtime.driven.place", lambda: tmp_path)
    with pytest.raises(UsageWrong, match="a run drives these motors") as caught:
        Took(ours, tmp_path / "set", 2, "wave")
    assert "can0" in caught.value.facts
    # Another robot beside it is no reason.
    assert Took(robot, tmp_path / "set", 2, "wave").said.rows == 2
