"""The demo checkpoint: upstream takes it, it says that it is random, and it moves gently."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from neon.model.neon_vla import NeonVLA

from neon_edge.checkpoint import load_checkpoint
from tests.checkpoint.upstream import act

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_checkpoint.py"


def make(out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), str(out), *options],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--mode", "arms_only", "--separate", "--no-imu"),
        ("--mode", "upper_body", "--separate", "--no-chunking", "--no-locomotion"),
    ],
    ids=["demo", "arms", "upper body"],
)
def test_upstream_loads_it_and_acts_alike(tmp_path: Path, options: tuple[str, ...]) -> None:
    assert make(tmp_path, "--seed", "3", *options).returncode == 0
    theirs = NeonVLA.from_pretrained(str(tmp_path)).eval()
    saved = torch.load(tmp_path / "neon_weights.pt", weights_only=True)
    assert saved.keys() == dict(theirs.named_parameters()).keys()
    ours = load_checkpoint(tmp_path)
    random = np.random.default_rng(0)
    for _ in range(10):
        pooled = random.standard_normal(128, dtype=np.float32)
        joints = ours.sample_joints(1, random)
        sensors = ours.sample_sensors(1, random)
        expected = act(theirs, pooled, joints[0], **{k: v[0] for k, v in sensors.items()})
        tensors = {name: torch.from_numpy(value) for name, value in sensors.items()}
        found = ours.module(torch.from_numpy(pooled)[None], torch.from_numpy(joints), **tensors)
        assert np.abs(found[0].numpy() - expected).max() <= 1e-5


def test_it_is_the_same_for_the_same_seed_and_says_that_it_is_random(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert make(tmp_path / name, "--seed", str(seed)).returncode == 0
    one, same, other = (load_checkpoint(tmp_path / name) for name in "abc")
    assert one.random and one.actions.neon_edge_demo_seed == 1
    assert (tmp_path / "a" / "config.json").read_bytes() == (
        tmp_path / "b" / "config.json"
    ).read_bytes()
    weight = "fusion.0.weight"
    assert torch.equal(one.module.get_parameter(weight), same.module.get_parameter(weight))
    assert not torch.equal(one.module.get_parameter(weight), other.module.get_parameter(weight))
    assert json.loads((tmp_path / "c" / "action_space.json").read_text())["action_dim"] == 32


def test_it_moves_gently_about_the_standing_pose(tmp_path: Path) -> None:
    assert make(tmp_path, "--seed", "7").returncode == 0
    checkpoint = load_checkpoint(tmp_path)
    random = np.random.default_rng(1)
    rows = 200
    with torch.inference_mode():
        chunks = checkpoint.module(
            torch.from_numpy(random.standard_normal((rows, 128), dtype=np.float32)),
            torch.from_numpy(checkpoint.sample_joints(rows, random)),
            imu=torch.from_numpy(checkpoint.sample_sensors(rows, random)["imu"]),
        ).numpy()
    default = [joint.default for joint in checkpoint.actions.joints] + [0.0] * 3
    half = np.array(checkpoint.actions.half_range)
    away = np.abs(chunks - default).mean(axis=(0, 1)) / half
    assert (away < 0.2).all(), "far from the standing pose"
    assert (chunks.std(axis=0).max(axis=0) / half > 0.02).all(), "nothing would be seen to move"
    assert (np.abs(np.diff(chunks, axis=1)).mean(axis=(0, 1)) / half < 0.02).all(), "rows jump"


def test_what_cannot_act_is_not_written(tmp_path: Path) -> None:
    answer = make(tmp_path / "no", "--separate")
    assert answer.returncode == 78 and "chunking" in answer.stderr
    assert not (tmp_path / "no").exists()
