"""Heads are judged from the robot's own joint states, by name, where it recorded any."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neon_edge.build.answers import _place_recorded, _sounds, judged_on
from neon_edge.build.calibrate.moments import CalibrationSet
from neon_edge.build.heads import sample_inputs
from neon_edge.build.recipe import Recipe
from neon_edge.build.samples import POSES, Samples, read_samples, write_samples
from neon_edge.checkpoint import Checkpoint, load_checkpoint
from neon_edge.errors import ConfigWrong
from tests.build.test_listening import listening
from tests.checkpoint.test_parity_samplers import SMALL
from tests.checkpoint.upstream import save_upstream


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    directory = tmp_path_factory.mktemp("checkpoint")
    save_upstream(directory, control_mode="arms_only", action_head_type="mlp", **SMALL)
    return load_checkpoint(directory)


def recorded(checkpoint: Checkpoint, share: float) -> CalibrationSet:
    """Two moments at `share` of every half range, columns in another order and one too many."""
    names = checkpoint.actions.joint_names
    count = len(names)
    middle, half = (
        np.float32(v)[:count] for v in (checkpoint.actions.middle, checkpoint.actions.half_range)
    )
    state = np.stack([middle + share * half, middle - share * half])
    return CalibrationSet(
        (np.zeros((2, 4, 4, 3), np.uint8),),
        ["wave", "fold"],
        ["one", "two"],
        np.concatenate([state[:, ::-1], np.full((2, 1), 99, np.float32)], axis=1),
        ",".join([*names[::-1], "camera_pan"]),
        source="set 00",
        episodes=[3, 5],
        at_s=[0.0, 1.0],
    )


def test_recorded_states_take_the_place_of_drawn_ones(checkpoint: Checkpoint) -> None:
    rows = sample_inputs(checkpoint, 2 * POSES, 0)
    before = [row["joints"].copy() for row in rows]
    count = len(checkpoint.actions.joint_names)
    moments = recorded(checkpoint, 0.5)
    _place_recorded(checkpoint, moments, rows)
    middle, half = np.float32(checkpoint.actions.middle), np.float32(checkpoint.actions.half_range)
    for at, sign in enumerate([1, -1, 1, -1, -1, 1, -1, 1]):
        found = rows[at]["joints"][0]
        assert np.allclose(found[:count], (middle + sign * 0.5 * half)[:count])
        assert np.array_equal(found[count:], before[at][0, count:])
    _place_recorded(checkpoint, replace(moments, tuning=1), rows)
    for at, sign in enumerate([1, 1, 1, 1, -1, -1, -1, -1]):
        assert np.sign(rows[at]["joints"][0, 2] - middle[2]) == sign


def test_degrees_are_refused_and_a_nudge_over_a_limit_is_not(checkpoint: Checkpoint) -> None:
    _place_recorded(checkpoint, recorded(checkpoint, 1.1), sample_inputs(checkpoint, 8, 0))
    with pytest.raises(ConfigWrong, match="far outside") as caught:
        _place_recorded(checkpoint, recorded(checkpoint, 57.3), sample_inputs(checkpoint, 8, 0))
    assert checkpoint.actions.joint_names[0] in caught.value.facts and "one" in caught.value.facts
    assert "not in degrees" in caught.value.fix


def test_another_robots_joints_are_refused_with_both_sides(checkpoint: Checkpoint) -> None:
    other = replace(recorded(checkpoint, 0.5), robot="a,b", joints=np.zeros((2, 2), np.float32))
    with pytest.raises(ConfigWrong, match="nothing is called") as caught:
        _place_recorded(checkpoint, other, sample_inputs(checkpoint, 8, 0))
    assert "a,b in the set" in caught.value.facts and "--joint a=" in caught.value.fix
    assert ",".join(checkpoint.actions.joint_names) in caught.value.facts


def test_the_manifest_says_what_was_judged_on(checkpoint: Checkpoint, tiny_recipe: Recipe) -> None:
    moments = recorded(checkpoint, 0.5)
    said = judged_on(moments, tiny_recipe)
    assert (said.source, said.episodes, said.moments) == ("set 00", [3, 5], 2)
    assert (said.joints, said.sound, len(said.sha256)) == ("recorded", "", 64)
    blind = replace(moments, robot="", joints=np.zeros((2, 0), np.float32))
    assert judged_on(blind, listening(2)).joints == "drawn"
    assert judged_on(blind, listening(2)).sound == "drawn"


def test_sound_of_another_length_is_refused() -> None:
    audio = listening(2).adaptor.audio
    heard = CalibrationSet(
        (np.zeros((2, 4, 4, 3), np.uint8),), ["x"] * 2, ["1", "2"], np.zeros((2, 0), np.float32),
        sounds=np.ones((2, 100), np.float32), rate_hz=16_000,
    )  # fmt: skip
    with pytest.raises(ConfigWrong, match="not what this backbone hears"):
        _sounds(audio, heard)
    drawn = _sounds(audio, replace(heard, sounds=None))
    assert drawn is not None and drawn.shape == (2, 32_000)


def samples(count: int, tuning: int) -> Samples:
    rows = np.arange(count * POSES, dtype=np.float32)
    return Samples(
        cameras=(np.zeros((count, 4, 6, 3), np.uint8), np.zeros((count, 8, 2, 3), np.uint8)),
        instructions=[f"say {at}" for at in range(count)],
        names=[str(at) for at in range(count)],
        inputs={"joints": rows[:, None]},
        pooled=np.arange(count, dtype=np.float32)[:, None],
        chunk=rows[:, None, None],
        undenoised=rows[:, None, None],
        tuning=tuning,
    )


def test_what_tunes_and_what_judges_are_two_halves(tmp_path: Path) -> None:
    whole = read_samples(tmp_path / "samples.npz", write_samples(tmp_path, samples(5, 2)))
    tune, judge = whole.half(tuning=True), whole.half(tuning=False)
    assert tune.names == ["0", "1"] and judge.names == ["2", "3", "4"]
    assert judge.instructions == ["say 2", "say 3", "say 4"]
    assert len(judge.frames) == 3 and [p.shape for p in judge.frames[0]] == [(4, 6, 3), (8, 2, 3)]
    for rows in (judge.chunk[:, 0, 0], judge.inputs["joints"][:, 0]):
        assert rows.tolist() == list(range(2 * POSES, 5 * POSES))
    assert judge.undenoised is not None and len(judge.undenoised) == 3 * POSES
    assert judge.sounds is None and len(tune.chunk) == 2 * POSES
    assert samples(5, 0).half(tuning=False).names == whole.names
