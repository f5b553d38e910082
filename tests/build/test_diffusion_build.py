"""Heads that sample, from checkpoint to plans that passed their gates, by the people's command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from neon.model.video_backbone import BackboneConfig

from neon_edge.config import load_robot
from neon_edge.engine.manifest import read_manifest
from neon_edge.errors import PlanUnfit
from neon_edge.runtime.headset import head_plan, open_head
from neon_edge.runtime.plans import admit
from tests.checkpoint.test_parity_samplers import SMALL
from tests.checkpoint.upstream import POOLED, save_upstream
from tests.conftest import ROOT

ID = "neon-edge/qwen-omni-tiny"


def built(directory: Path, **settings: Any) -> tuple[Path, str]:
    """Plans of the tiny Omni and heads of these settings, and what the build told."""
    backbone = BackboneConfig(model_id=ID, hidden_size=POOLED)
    given = {"control_mode": "whole_body", **SMALL, **settings}
    save_upstream(directory / "checkpoint", backbone=backbone, **given)
    build = [sys.executable, "-m", "neon_edge", "build", "engines/qwen_omni_tiny"]
    where = ["--checkpoint", str(directory / "checkpoint"), "--out", str(directory / "built")]
    made = subprocess.run(
        [*build, *where, "--threads", "1"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    return (directory / "built" / "current").resolve(), made.stderr


@pytest.mark.slow
def test_a_dit_is_built_gated_and_admitted_where_simulated(tmp_path: Path) -> None:
    plans, told = built(tmp_path, action_head_type="dit")
    assert "sample by diffusion" in told
    manifest = read_manifest(plans)
    assert manifest.heads.head_type == "dit" and manifest.heads.step_part is not None
    gates = {gate.name: gate for gate in manifest.gates}
    assert any("noise" in name for name in gates), gates
    assert all(gate.passed for gate in gates.values())
    sim = load_robot("sim")
    admit(plans, sim)
    plan = head_plan(sim.head_choices[0], plans, manifest)
    open_head(plan, sim).network.engine.close()
    with pytest.raises(PlanUnfit, match="sample by diffusion"):
        open_head(plan, msgspec.structs.replace(sim, simulated=False))


@pytest.mark.slow
def test_a_flow_is_gated_in_the_form_that_guiding_runs_too(tmp_path: Path) -> None:
    attends = {"flow_use_cross_attention": True, "flow_cross_attention_dim": 96}
    plans, told = built(tmp_path, action_head_type="flow", **attends)
    assert "attend to the backbone's tokens" in told
    gates = {gate.name: gate for gate in read_manifest(plans).gates}
    assert gates["heads in steps"].passed
    assert gates["pull-back of a step"].passed
