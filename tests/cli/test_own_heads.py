"""The heads that upstream does not have, trained here, from checkpoint to a moving robot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from neon_edge.build.heads import torch_chunk
from neon_edge.checkpoint import Checkpoint
from neon_edge.checkpoint.config import BackboneSource
from neon_edge.config import load_robot
from neon_edge.config.robot import HeadsChoice
from neon_edge.engine.manifest import read_manifest
from tests.bench.reach_task import ARMS, Reach, trained
from tests.checkpoint.own_heads import fast_config, jepa_config
from tests.cli.live import write_robot
from tests.conftest import neon_edge

SEED = 3
TINY: dict[str, Any] = {
    "backbone": BackboneSource(model_id="neon-edge/qwen-omni-tiny", hidden_size=128),
    **ARMS,
}
CASES: dict[str, tuple[Any, int, HeadsChoice]] = {
    "fast": (
        fast_config(hidden=96, budget=112, **TINY),
        150,
        HeadsChoice(strategy="chunk", tokens=6),
    ),
    "jepa": (jepa_config(hidden=96, **TINY), 100, HeadsChoice(moved=0.05)),
}


def task_error(checkpoint: Checkpoint, count: int) -> tuple[float, int]:
    """Mean error on unseen scenes, 1 for a head that says the middle; how many were no chunk."""
    task = Reach(checkpoint.config, SEED)
    heads = checkpoint.module
    pooled, joints, wanted = task.draw(count, np.random.default_rng(99))
    raw = joints * heads.half_range.numpy() + heads.middle.numpy()
    made = np.stack([
        torch_chunk(checkpoint, {"pooled": pooled[at, None], "joints": raw[at, None]})[0]
        for at in range(count)
    ])  # fmt: skip
    error = np.abs((made - heads.middle.numpy()) / heads.half_range.numpy() - wanted)
    return float(np.nanmean(error) / np.abs(wanted).mean()), int(
        np.isnan(made).all(axis=(1, 2)).sum()
    )


@pytest.mark.slow
@pytest.mark.parametrize("head", CASES)
def test_trained_here_it_is_built_gated_and_moves_the_robot(tmp_path: Path, head: str) -> None:
    config, rounds, choice = CASES[head]
    checkpoint = trained(tmp_path / "checkpoint", config, rounds, SEED)
    error, refused = task_error(checkpoint, 60)
    assert error < 0.8 and refused <= 3, (error, refused)
    recipe, folder = "engines/qwen_omni_tiny", str(checkpoint.directory)
    out = tmp_path / "built"
    built = neon_edge("build", recipe, "--checkpoint", folder, "--out", str(out))
    assert built.returncode == 0, built.stderr
    manifest = read_manifest(out / "current")
    assert manifest.heads.head_type == head and all(gate.passed for gate in manifest.gates)
    robot = msgspec.structs.replace(load_robot("sim"), heads=choice)
    file = write_robot(tmp_path / "robot.toml", robot)
    recorded, plans = str(tmp_path / "run.mcap"), str(out / "current")
    run = neon_edge(
        "run", "--robot", str(file), "--engines", plans, "--seconds", "3", "--json",
        "--record", recorded,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    assert report["joint_commands_sent"] == 29 * report["ticks"] > 0
    # It held until the first chunk was written, and then it moved.
    assert report["ticks"] > sum(report["causes"].values()), report["causes"]
    again = neon_edge("replay", recorded)
    assert again.returncode == 0 and "0 commands differ" in again.stdout, again.stdout
