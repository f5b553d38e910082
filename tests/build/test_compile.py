"""Plans that missed never stand where good ones do, and a robot's plans stay where they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from neon_edge.build import compile as module
from neon_edge.build.compile import CURRENT, compile_bundle, compiled, plans_name, settle
from neon_edge.build.verify import Measured
from neon_edge.engine.files import sha256_file
from neon_edge.engine.manifest import Gate, Manifest, read_manifest, write_manifest
from neon_edge.engine.plan import check_plan_file, this_machine
from neon_edge.errors import ConfigWrong, GateMissed
from tests.conftest import ROOT
from tests.engine.graphs import affine
from tests.engine.machines import manifest_of, part

NAME = plans_name(this_machine("onnxruntime"))


def quiet(_: str) -> None:
    """Steps are for people."""


class Verdict:
    """Stands in for running plans on samples, which these do not have."""

    def __init__(self) -> None:
        self.measured = 0.5

    def __call__(self, *_: object) -> Measured:
        gate = Gate("joints", self.measured, 1.0, "rad", self.measured <= 1.0, "elbow")
        return Measured([gate], [], {})


@pytest.fixture
def verdict(monkeypatch: pytest.MonkeyPatch) -> Verdict:
    verdict = Verdict()
    monkeypatch.setattr(module, "measured", verdict)
    return verdict


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    directory = tmp_path / "bundle"
    directory.mkdir()
    affine(directory)
    digest = sha256_file(directory / "affine.onnx")
    one, two = (part(name, onnx="affine.onnx", onnx_sha256=digest) for name in ("a", "b"))
    plain = manifest_of(machine=None)
    prompt = replace(plain.backbone.prompt, tokenizer="tokenizer.json", embeddings="table.npy")
    for name in (prompt.tokenizer, prompt.embeddings):
        (directory / name).write_text(name)
    backbone = replace(plain.backbone, parts=[one], prompt=prompt)
    heads = replace(
        plain.heads, part=two, slow_parts=[], guided_parts=[], step_part=None, row_part=None
    )
    write_manifest(directory, replace(plain, backbone=backbone, heads=heads))
    return directory


def check_whole(plans: Path) -> Manifest:
    manifest = read_manifest(plans)
    for each in (*manifest.backbone.parts, *manifest.heads.parts):
        check_plan_file(plans, each)
    assert (plans / "table.npy").read_text() == "table.npy"
    assert not (plans / "steps.json").exists()
    return manifest


def test_plans_that_missed_leave_good_ones_alone(
    bundle: Path, tmp_path: Path, verdict: Verdict
) -> None:
    good = compile_bundle(bundle, tmp_path, "onnxruntime", 1, quiet)
    assert good.name == f"{NAME}.1"
    verdict.measured = 2.0
    told: list[str] = []
    with pytest.raises(GateMissed, match="joints"):
        compile_bundle(bundle, tmp_path, "onnxruntime", 1, told.append)
    assert (tmp_path / CURRENT).resolve() == good
    assert all(gate.passed for gate in check_whole(good).gates)
    missed = tmp_path / f"{NAME}.missed"
    assert not any(gate.passed for gate in check_whole(missed).gates)
    assert str(missed) in told[-1]
    verdict.measured = 0.25
    better = compile_bundle(bundle, tmp_path, "onnxruntime", 1, quiet)
    assert (tmp_path / CURRENT).resolve() == better
    assert check_whole(better).gates[0].measured == 0.25
    assert not good.exists()


RUNNING = """
import sys
from pathlib import Path
from neon_edge.errors import NeonEdgeError
from neon_edge.config import load_robot
from neon_edge.runtime.plans import admit, find_plans
place = find_plans(sys.argv[1])
try:
    admit(place, load_robot("sim"))
except NeonEdgeError:
    pass  # the numbers of this manifest fit no robot; what is admitted is held all the same
print(place, flush=True)
sys.stdin.read()
"""


def test_a_robot_that_runs_keeps_its_plans(bundle: Path, tmp_path: Path, verdict: Verdict) -> None:
    first = compile_bundle(bundle, tmp_path, "onnxruntime", 1, quiet)
    robot = subprocess.Popen(
        [sys.executable, "-c", RUNNING, str(tmp_path / CURRENT)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert robot.stdout is not None
    assert robot.stdout.readline().strip() == str(first)
    second = compile_bundle(bundle, tmp_path, "onnxruntime", 1, quiet)
    third = compile_bundle(bundle, tmp_path, "onnxruntime", 1, quiet)
    check_whole(first)
    assert not second.exists()
    robot.kill()
    robot.wait()
    compile_bundle(bundle, tmp_path, "onnxruntime", 1, quiet)
    assert not first.exists()
    assert not third.exists()


def test_current_is_never_without_a_meaning(
    bundle: Path, tmp_path: Path, verdict: Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked at ahead of every rename, removal and link that a second build and a choice make."""
    compile_bundle(bundle, tmp_path, "onnxruntime", 1, quiet)
    looked = 0

    def watched(name: str) -> None:
        plain = getattr(Path, name)

        def looking(path: Path, *given: object, **more: object) -> object:
            nonlocal looked
            looked += 1
            check_whole(tmp_path / CURRENT)
            made = plain(path, *given, **more)
            check_whole(tmp_path / CURRENT)
            return made

        monkeypatch.setattr(Path, name, looking)

    for name in ("rename", "replace", "symlink_to"):
        watched(name)
    second = compile_bundle(bundle, tmp_path, "onnxruntime", 1, quiet)
    candidate = tmp_path / f"{NAME}-float"
    compiled(bundle, candidate, "onnxruntime", 1, quiet)
    chosen = settle(candidate, tmp_path)
    assert looked > 6
    assert (tmp_path / CURRENT).resolve() == chosen != second
    assert not candidate.exists()
    check_whole(chosen)


def test_an_interrupt_at_the_end_of_a_build_is_resumed_there(
    bundle: Path, tmp_path: Path, verdict: Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", interrupted)
        with pytest.raises(KeyboardInterrupt):
            compile_bundle(bundle, tmp_path, "onnxruntime", 1, quiet)
    assert not os.path.lexists(tmp_path / CURRENT)
    told: list[str] = []
    check_whole(compile_bundle(bundle, tmp_path, "onnxruntime", 1, told.append))
    assert told[:2] == ["compile a: done before", "compile b: done before"]


def test_a_table_that_the_bundle_lacks_is_named(
    bundle: Path, tmp_path: Path, verdict: Verdict
) -> None:
    (bundle / "table.npy").unlink()
    with pytest.raises(ConfigWrong, match=r"lacks table\.npy"):
        compile_bundle(bundle, tmp_path, "onnxruntime", 1, quiet)
