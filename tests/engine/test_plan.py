"""Which plans are opened: those of this machine, unchanged, with the tensors they promise."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from neon_edge.engine import plan as plans
from neon_edge.engine.contract import infer
from neon_edge.engine.manifest import Machine, Part, TensorSpec
from neon_edge.engine.plan import (
    check_fits,
    check_plan_file,
    compile_part,
    cpu_model,
    open_engine,
    sha256_file,
    this_machine,
)
from neon_edge.errors import ConfigWrong, DeviceMissing, PlanUnfit
from tests.engine import graphs
from tests.engine.fake_cuda import FakeCuda
from tests.engine.fake_tensorrt import fake_tensorrt
from tests.engine.machines import MACHINE, manifest_of, part


@pytest.fixture
def built(tmp_path: Path) -> tuple[Path, Part]:
    """A directory with one plan for this machine, and its part."""
    graphs.affine(tmp_path)
    directory = tmp_path / "plans"
    directory.mkdir()
    return directory, compile_part(tmp_path, part("affine"), directory, "onnxruntime")


def test_a_compiled_part_opens_and_computes(tmp_path: Path, built: tuple[Path, Part]) -> None:
    directory, done = built
    assert done.plan == "affine.ort.onnx"
    _, reference = graphs.affine(tmp_path)
    engine = open_engine(directory, done, this_machine("onnxruntime"), threads=1)
    tensors = graphs.fill(engine.inputs, 0)
    np.testing.assert_allclose(infer(engine, tensors)["y"], reference(tensors)["y"], rtol=1e-5)
    engine.close()


def test_plans_fit_the_machine_they_were_compiled_on() -> None:
    here = this_machine("onnxruntime")
    check_fits(manifest_of(machine=here), here)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("engine_version", "1.23.3", "engine version '1.23.2' in the plan, '1.23.3' here"),
        ("architecture", "x86_64", "architecture 'aarch64' in the plan, 'x86_64' here"),
        ("device", "Orin NX", "device 'Jetson AGX Orin, asimddp' in the plan, 'Orin NX' here"),
        ("engine", "tensorrt", "engine 'onnxruntime' in the plan, 'tensorrt' here"),
    ],
)
def test_plans_of_another_machine_are_refused_naming_both(
    field: str, value: Any, words: str
) -> None:
    here = msgspec.structs.replace(MACHINE, **{field: value})
    with pytest.raises(PlanUnfit, match="do not fit this machine") as refused:
        check_fits(manifest_of(), here)
    assert refused.value.facts == words
    assert refused.value.exit_code == 78
    assert "neon-edge build" in refused.value.fix


def test_a_bundle_is_not_plans(tmp_path: Path, built: tuple[Path, Part]) -> None:
    with pytest.raises(PlanUnfit, match="bundle"):
        check_fits(manifest_of(machine=None), MACHINE)
    with pytest.raises(PlanUnfit, match="bundle"):
        open_engine(*built, machine=None)
    with pytest.raises(PlanUnfit, match="has no plan"):
        check_plan_file(tmp_path, part("affine"))


@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_a_damaged_plan_is_refused(built: tuple[Path, Part], damage: str) -> None:
    directory, done = built
    plan = directory / done.plan
    raw = bytearray(plan.read_bytes())
    if damage == "cut":
        plan.write_bytes(raw[:-1])
    elif damage == "changed":
        raw[-1] ^= 1
        plan.write_bytes(raw)
    else:
        plan.unlink()
    with pytest.raises(PlanUnfit, match="is not there" if damage == "gone" else "has changed"):
        open_engine(directory, done, this_machine("onnxruntime"))


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": [TensorSpec("x", [2, 5])]},
        {"inputs": [TensorSpec("x", [2, 4], "float16")]},
        {"outputs": [TensorSpec("z", [2, 3])]},
        {"outputs": [TensorSpec("y", [2, 3]), TensorSpec("z", [1])]},
    ],
)
def test_tensors_other_than_the_manifest_says_are_refused(
    built: tuple[Path, Part], changes: dict[str, Any]
) -> None:
    directory, done = built
    other = msgspec.structs.replace(done, **changes)
    with pytest.raises(PlanUnfit, match="than its manifest says"):
        open_engine(directory, other, this_machine("onnxruntime"))


def test_a_graph_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigWrong, match="is not there"):
        compile_part(tmp_path, part("affine"), tmp_path, "onnxruntime")


def test_rtx_compiles_through_the_same_door(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    graphs.affine(tmp_path)
    done = compile_part(tmp_path, part("affine"), tmp_path, "tensorrt-rtx")
    assert check_plan_file(tmp_path, done).suffixes == [".rtx", ".plan"]
    assert this_machine("tensorrt-rtx").device == "SM86"


def test_a_tensorrt_plan_opens_through_the_same_door(
    tmp_path: Path, fake_cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = fake_tensorrt(fake_cuda)
    monkeypatch.setattr("neon_edge.engine.tensorrt.load_tensorrt", lambda: trt)
    plan, _ = graphs.affine(tmp_path)
    done = part("affine", plan=plan.name, plan_sha256=sha256_file(plan))
    here = this_machine("tensorrt")
    assert here == Machine("tensorrt", "10.3.0", here.architecture, "Orin sm_87")
    engine = open_engine(tmp_path, done, here, urgent=True)
    assert list(fake_cuda.priorities.values()) == [-5]
    engine.close()


def test_tensorrt_on_a_machine_without_one_is_a_missing_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cuda.bindings", None)
    with pytest.raises(DeviceMissing):
        this_machine("tensorrt")


X86 = "model name\t: AMD EPYC 7763\nflags\t\t: fpu avx avx2 sse\nmodel name\t: other\n"
ARM = "Features\t: fp asimd asimddp\nCPU implementer\t: 0x41\nCPU part\t: 0xd42\n"


@pytest.mark.parametrize(
    ("cpuinfo", "board", "expected"),
    [
        (X86, None, "AMD EPYC 7763, avx2"),
        (ARM, "NVIDIA Jetson AGX Orin\0", "NVIDIA Jetson AGX Orin, asimddp"),
        (ARM, None, "implementer 0x41 part 0xd42, asimddp"),
    ],
)
def test_a_cpu_has_a_name_on_every_architecture(
    tmp_path: Path, cpuinfo: str, board: str | None, expected: str
) -> None:
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    if board:
        (tmp_path / "model").write_text(board)
    assert cpu_model(tmp_path / "cpuinfo", tmp_path / "model") == expected


def test_the_hash_is_sha256_of_graph_and_weights(tmp_path: Path) -> None:
    graph = tmp_path / "g.onnx"
    graph.write_bytes(b"graph")
    assert plans.sha256_file(graph) == hashlib.sha256(b"graph").hexdigest()
    (tmp_path / "g.onnx.weights").write_bytes(b"weights" * 1_000_000)
    both = hashlib.sha256(b"graph" + b"weights" * 1_000_000).hexdigest()
    assert plans.sha256_file(graph) == both
