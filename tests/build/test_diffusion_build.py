"""A diffusion head from checkpoint to plans that passed their gate, by the people's command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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


@pytest.mark.slow
def test_a_dit_is_built_gated_and_admitted_where_simulated(tmp_path: Path) -> None:
    backbone = BackboneConfig(model_id=ID, hidden_size=POOLED)
    settings = {"control_mode": "whole_body", "action_head_type": "dit", **SMALL}
    save_upstream(tmp_path / "checkpoint", backbone=backbone, **settings)
    build = [sys.executable, "-m", "neon_edge", "build", "engines/qwen_omni_tiny"]
    given = ["--checkpoint", str(tmp_path / "checkpoint"), "--out", str(tmp_path / "built")]
    made = subprocess.run(
        [*build, *given, "--threads", "1"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    plans = (tmp_path / "built" / "current").resolve()
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
