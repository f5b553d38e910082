"""Nothing unverified, foreign or faked gets past `admit`."""

from pathlib import Path

import msgspec
import pytest

from neon_edge.config import load_robot
from neon_edge.engine.manifest import Manifest, read_manifest, write_manifest
from neon_edge.errors import ConfigWrong, PlanUnfit
from neon_edge.runtime.plans import admit, find_plans

REPLACE = msgspec.structs.replace


def changed(plans: Path, tmp_path: Path, manifest: Manifest) -> Path:
    write_manifest(tmp_path, manifest)
    return tmp_path


def test_built_plans_are_admitted_for_the_simulated_robot(plans: Path) -> None:
    assert admit(plans, load_robot("sim")).backbone.pooled_width == 128


def test_random_weights_never_reach_a_real_robot(plans: Path) -> None:
    real = REPLACE(load_robot("sim"), simulated=False)
    with pytest.raises(PlanUnfit, match="random weights, and this robot is real"):
        admit(plans, real)


@pytest.mark.parametrize(
    ("field", "value"), [("engine_version", "0.0.1"), ("device", "another CPU, sve")]
)
def test_plans_of_another_version_or_machine_are_refused_with_both_sides(
    plans: Path, tmp_path: Path, field: str, value: str
) -> None:
    manifest = read_manifest(plans)
    assert manifest.machine is not None
    foreign = REPLACE(manifest, machine=REPLACE(manifest.machine, **{field: value}))
    with pytest.raises(PlanUnfit) as refused:
        admit(changed(plans, tmp_path, foreign), load_robot("sim"))
    assert value in refused.value.facts
    assert str(getattr(manifest.machine, field)) in refused.value.facts


def test_a_failed_gate_or_none_at_all_is_refused(plans: Path, tmp_path: Path) -> None:
    manifest = read_manifest(plans)
    failed = REPLACE(manifest.gates[0], passed=False, measured=0.5)
    for gates in ([failed], []):
        with pytest.raises(PlanUnfit, match="not passed their accuracy gate"):
            admit(changed(plans, tmp_path, REPLACE(manifest, gates=gates)), load_robot("sim"))


def test_heads_of_another_backbone_are_refused(plans: Path, tmp_path: Path) -> None:
    manifest = read_manifest(plans)
    other = REPLACE(manifest, heads=REPLACE(manifest.heads, backbone_hash="f" * 16))
    with pytest.raises(PlanUnfit, match="another backbone"):
        admit(changed(plans, tmp_path, other), load_robot("sim"))


def test_another_number_of_cameras_is_refused(plans: Path) -> None:
    blind = REPLACE(load_robot("sim"), cameras=[])
    with pytest.raises(PlanUnfit, match="number of cameras"):
        admit(plans, blind)


def test_a_bundle_is_not_plans(built: Path) -> None:
    with pytest.raises(PlanUnfit, match="is a bundle"):
        admit(built / "bundle", load_robot("sim"))


def test_plans_that_are_nowhere_say_how_to_make_them() -> None:
    with pytest.raises(ConfigWrong, match="no plans called 'nowhere'") as refused:
        find_plans("nowhere")
    assert "build_engines.sh nowhere" in refused.value.fix
