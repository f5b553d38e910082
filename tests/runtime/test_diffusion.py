"""A head whose sampler saturates moves a real robot only where its file says why it may."""

from pathlib import Path

import msgspec
import pytest

from neon_edge.config import load_robot
from neon_edge.config.heads import HeadsChoice
from neon_edge.engine.manifest import read_manifest
from neon_edge.errors import PlanUnfit
from neon_edge.runtime.diffusion import diffusion_warnings, refuse_diffusion
from neon_edge.runtime.headset import head_plan, open_head

REPLACE = msgspec.structs.replace


@pytest.mark.parametrize("kind", ["dit", "ensemble"])
def test_a_real_robot_needs_a_reason(plans: Path, kind: str) -> None:
    heads = REPLACE(read_manifest(plans).heads, head_type=kind)
    with pytest.raises(PlanUnfit, match="sample by diffusion") as refused:
        refuse_diffusion(heads, HeadsChoice(diffusion="  "), simulated=False)
    assert kind in refused.value.facts and "1e5" in refused.value.facts
    assert "diffusion = " in refused.value.fix
    told = HeadsChoice(diffusion="trained without the first step")
    refuse_diffusion(heads, told, simulated=False)
    [said] = diffusion_warnings(heads, told)
    assert said.endswith("allowed by the robot file: trained without the first step")


def test_a_simulated_robot_is_only_warned(plans: Path) -> None:
    heads = REPLACE(read_manifest(plans).heads, head_type="dit")
    refuse_diffusion(heads, HeadsChoice(), simulated=True)
    [said] = diffusion_warnings(heads, HeadsChoice())
    assert said.endswith("allowed on a simulated robot")


def test_other_heads_are_let_in_without_a_word(plans: Path) -> None:
    heads = read_manifest(plans).heads
    refuse_diffusion(heads, HeadsChoice(), simulated=False)
    assert diffusion_warnings(heads, HeadsChoice()) == []


def test_it_is_refused_where_heads_are_opened(plans: Path) -> None:
    manifest, sim = read_manifest(plans), load_robot("sim")
    dit = REPLACE(manifest, heads=REPLACE(manifest.heads, head_type="dit"))
    plan = head_plan(sim.head_choices[0], plans, dit)
    with pytest.raises(PlanUnfit, match="this robot is real"):
        open_head(plan, REPLACE(sim, simulated=False))
