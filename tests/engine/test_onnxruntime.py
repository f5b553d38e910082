"""ONNX Runtime: plans, external weights, threads, and what it refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from neon_edge.engine import onnxruntime as ours
from neon_edge.engine.contract import infer
from neon_edge.engine.files import sha256_file, weights_of
from neon_edge.engine.onnxruntime import OnnxRuntimeEngine, aligned_zeros, compile_onnxruntime
from neon_edge.errors import ConfigWrong, PlanUnfit
from tests.engine import graphs


def test_the_plan_is_already_optimised(tmp_path: Path) -> None:
    source, _ = graphs.affine(tmp_path)
    plan = tmp_path / "affine.ort.onnx"
    compile_onnxruntime(source, plan, threads=1)
    before = [node.op_type for node in onnx.load(source).graph.node]
    after = [node.op_type for node in onnx.load(plan).graph.node]
    assert before == ["MatMul", "Add"]
    assert after == ["Gemm"]


def test_weights_of_a_large_graph_stand_beside_the_plan(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    source, reference = graphs.affine(tmp_path / "bundle", width=4096, external=True)
    plan = tmp_path / "affine.ort.onnx"
    compile_onnxruntime(source, plan, threads=1, inline_limit_bytes=1000)
    weights = weights_of(plan)
    assert weights.stat().st_size >= 4096 * 3 * 4
    assert plan.stat().st_size < 10_000
    digest = sha256_file(plan)
    engine = OnnxRuntimeEngine(plan, threads=1)
    tensors = graphs.fill(engine.inputs, 0)
    np.testing.assert_allclose(infer(engine, tensors)["y"], reference(tensors)["y"], atol=1e-3)
    raw = bytearray(weights.read_bytes())
    raw[100] ^= 1
    weights.write_bytes(raw)
    assert sha256_file(plan) != digest


def test_a_plan_needs_nothing_of_the_graph_that_it_was_made_of(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    source, reference = graphs.affine(tmp_path / "bundle", width=4096, external=True)
    assert weights_of(source).exists() and source.stat().st_size < 10_000, "well below any limit"
    plan = tmp_path / "affine.ort.onnx"
    compile_onnxruntime(source, plan, threads=1)
    shutil.rmtree(tmp_path / "bundle")
    engine = OnnxRuntimeEngine(plan, threads=1)
    tensors = graphs.fill(engine.inputs, 0)
    np.testing.assert_allclose(infer(engine, tensors)["y"], reference(tensors)["y"], atol=1e-3)


def test_compiling_again_without_external_weights_leaves_none_behind(tmp_path: Path) -> None:
    source, _ = graphs.affine(tmp_path, width=4096)
    plan = tmp_path / "plan.ort.onnx"
    compile_onnxruntime(source, plan, threads=1, inline_limit_bytes=0)
    assert weights_of(plan).exists()
    compile_onnxruntime(source, plan, threads=1)
    assert not weights_of(plan).exists()


def test_a_graph_with_unknown_nodes_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigWrong, match="cannot compile") as refused:
        compile_onnxruntime(graphs.unknown_nodes(tmp_path), tmp_path / "plan", threads=1)
    assert "first_unknown" in refused.value.facts


def test_a_shape_that_is_not_fixed_is_refused_by_name(tmp_path: Path) -> None:
    plan = tmp_path / "plan.ort.onnx"
    compile_onnxruntime(graphs.dynamic(tmp_path), plan, threads=1)
    with pytest.raises(PlanUnfit, match="'x' has no fixed shape"):
        OnnxRuntimeEngine(plan, threads=1)


def test_what_is_no_plan_is_refused(tmp_path: Path) -> None:
    plan = tmp_path / "plan.ort.onnx"
    plan.write_bytes(b"not a plan")
    with pytest.raises(PlanUnfit, match="cannot load"):
        OnnxRuntimeEngine(plan, threads=1)


@pytest.mark.parametrize(("threads", "started"), [(1, 0), (2, 1)])
def test_it_starts_as_many_threads_as_it_was_given(
    tmp_path: Path, threads: int, started: int
) -> None:
    source, _ = graphs.affine(tmp_path)
    plan = tmp_path / "plan.ort.onnx"
    compile_onnxruntime(source, plan, threads=1)
    tasks = Path("/proc/self/task")
    before = {task.name for task in tasks.iterdir()}
    engine = OnnxRuntimeEngine(plan, threads=threads)
    assert len({task.name for task in tasks.iterdir()} - before) == started
    engine.close()


@pytest.mark.parametrize("shape", [(1,), (3, 5), (7, 1, 2)])
def test_buffers_begin_on_a_cache_line(shape: tuple[int, ...]) -> None:
    array = aligned_zeros(shape, np.dtype(np.float16))
    assert array.ctypes.data % 64 == 0
    assert array.shape == shape
    assert not array.any()
    assert array.flags.c_contiguous and array.flags.writeable


def test_an_output_written_elsewhere_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, _ = graphs.affine(tmp_path)
    plan = tmp_path / "plan.ort.onnx"
    compile_onnxruntime(source, plan, threads=1)
    bind = OnnxRuntimeEngine._bind

    def careless(self: OnnxRuntimeEngine) -> object:
        binding = bind(self)
        binding.bind_output("y", "cpu")  # ONNX Runtime then allocates its own
        return binding

    monkeypatch.setattr(ours.OnnxRuntimeEngine, "_bind", careless)
    with pytest.raises(PlanUnfit, match="does not land in its buffer"):
        OnnxRuntimeEngine(plan, threads=1)
