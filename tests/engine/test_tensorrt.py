"""TensorRT: the code path on a GPU that is faked, the API that three versions share, for real."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neon_edge.engine import cuda as gpu
from neon_edge.engine import rtx, strongly_typed, tensorrt
from neon_edge.engine.tensorrt import TensorRtEngine, TensorRtOptions, compile_tensorrt
from neon_edge.errors import ConfigWrong, DeviceMissing, PlanUnfit
from tests.engine import graphs
from tests.engine.fake_cuda import Code, FakeCuda, Mode
from tests.engine.fake_tensorrt import fake_tensorrt
from tests.engine.tensorrt_api import ALL, COMMON

# Attributes in the two files that are Python's, NumPy's or our own.
OURS = {
    "Buffer", "append", "array", "callback", "capture", "call", "close", "device", "device_name",
    "dtype",
    "exists", "facts", "host", "items", "nbytes", "open_buffer", "open_event", "open_stream",
    "optimisation_level", "poison", "is_poisoned", "pop_all", "read_bytes", "said", "serialise",
    "split", "join", "tf32", "timing_cache", "values", "workspace_bytes", "write_bytes",
    "load_runtime", "float32", "float16", "int8", "int32", "int64", "uint8", "bool_",
    "definition", "logger", "builder", "onnx", "inputs", "outputs",
}  # fmt: skip


def attributes(module: Any) -> set[str]:
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def test_only_symbols_of_all_three_versions_are_used() -> None:
    used = attributes(tensorrt) | attributes(strongly_typed)
    public = {name for name in used if not name.startswith("_")} | {"__init__"}
    cuda_names = {name for name in public if name.startswith("cuda")}
    assert public - ALL - OURS - cuda_names == set()
    assert {"parse_from_file", "execute_async_v3", "set_tensor_address"} <= public


def test_the_tensorrt_api_is_the_real_one() -> None:
    real = pytest.importorskip("tensorrt_rtx_bindings")
    for owner, names in COMMON.items():
        there = real if owner == "module" else getattr(real, owner)
        assert {name for name in names if not hasattr(there, name)} == set(), owner


def test_every_cuda_call_is_one_that_cuda_python_has() -> None:
    real = pytest.importorskip("cuda.bindings.runtime")
    used = {n for m in (gpu, tensorrt) for n in attributes(m) if n.startswith("cuda")}
    inside = {
        n for n in used if n.startswith(("cudaDevAttr", "cudaMemcpyHost", "cudaMemcpyDevice"))
    }
    inside.add("cudaStreamCaptureModeThreadLocal")
    assert {n for n in used - inside if not hasattr(real, n)} == set()
    assert hasattr(real.cudaStreamCaptureMode, "cudaStreamCaptureModeThreadLocal")
    assert hasattr(real.cudaDeviceAttr, "cudaDevAttrComputeCapabilityMajor")
    assert hasattr(real.cudaMemcpyKind, "cudaMemcpyHostToDevice")
    assert used >= {"cudaGraphLaunch", "cudaStreamBeginCapture", "cudaHostAlloc"}


@pytest.fixture
def no_gpu() -> Any:
    real = pytest.importorskip("cuda.bindings.runtime")
    if int(real.cudaGetDeviceCount()[0]) == 0:
        pytest.skip("this machine has a GPU")
    return real


def test_cuda_python_takes_our_arguments(no_gpu: Any) -> None:
    """Without a driver every call fails with a code, after its arguments have been converted."""
    r, stream, pointer = no_gpu, 7, 4096
    kind, mode = r.cudaMemcpyKind, r.cudaStreamCaptureMode
    flags = r.cudaEventBlockingSync | r.cudaEventDisableTiming
    for function, arguments in (
        (r.cudaHostAlloc, (64, r.cudaHostAllocDefault)),
        (r.cudaMalloc, (64,)),
        (r.cudaStreamCreateWithPriority, (r.cudaStreamNonBlocking, -5)),
        (r.cudaEventCreateWithFlags, (flags,)),
        (r.cudaStreamSynchronize, (stream,)),
        (r.cudaStreamBeginCapture, (stream, mode.cudaStreamCaptureModeThreadLocal)),
        (r.cudaStreamEndCapture, (stream,)),
        (r.cudaMemsetAsync, (pointer, 255, 64, stream)),
        (r.cudaMemcpyAsync, (pointer, pointer, 64, kind.cudaMemcpyHostToDevice, stream)),
        (r.cudaEventRecord, (r.cudaEvent_t(1), stream)),
        (r.cudaGraphInstantiate, (r.cudaGraph_t(1), 0)),
        (r.cudaGraphLaunch, (r.cudaGraphExec_t(1), stream)),
        (r.cudaDeviceGetAttribute, (r.cudaDeviceAttr.cudaDevAttrComputeCapabilityMajor, 0)),
    ):
        with pytest.raises(DeviceMissing, match="did not do") as refused:
            gpu.call(function, *arguments)
        assert function.__name__ in refused.value.facts


def test_a_machine_without_a_gpu_is_told_so(no_gpu: Any) -> None:
    with pytest.raises(DeviceMissing, match="no NVIDIA GPU answers") as refused:
        gpu.device_name(gpu.load_runtime())
    assert "cudaError" in refused.value.facts


@pytest.mark.parametrize(
    ("module", "load", "fix"),
    [
        ("tensorrt", tensorrt.load_tensorrt, "python3-libnvinfer"),
        ("cuda.bindings", gpu.load_runtime, "cuda-python"),
        ("tensorrt_rtx_bindings", rtx.load_rtx, "neon-edge[rtx]"),
    ],
)
def test_a_missing_library_names_its_package(
    monkeypatch: pytest.MonkeyPatch, module: str, load: Any, fix: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DeviceMissing, match="is not installed") as missing:
        load()
    assert fix in missing.value.fix


def test_importing_our_modules_loads_none_of_theirs() -> None:
    for name in ("neon_edge.engine.tensorrt", "neon_edge.engine.cuda", "neon_edge.engine.rtx"):
        module = importlib.import_module(name)
        assert not {"tensorrt", "cuda", "tensorrt_rtx_bindings"} & set(vars(module))


@pytest.mark.parametrize(("urgent", "priority"), [(True, -5), (False, 0)])
def test_the_engine_captures_once_and_launches_one_graph(
    tmp_path: Path, fake_cuda: FakeCuda, urgent: bool, priority: int
) -> None:
    onnx, _ = graphs.affine(tmp_path)
    engine = TensorRtEngine(onnx, urgent=urgent, module=fake_tensorrt(fake_cuda))
    assert fake_cuda.capture_mode == Mode.cudaStreamCaptureModeThreadLocal
    assert list(fake_cuda.priorities.values()) == [priority]
    fake_cuda.calls.clear()
    engine.start()
    assert fake_cuda.calls == ["cudaGraphLaunch", "cudaEventRecord"]
    engine.wait()
    assert fake_cuda.calls[2:] == ["cudaEventSynchronize"]
    engine.close()
    assert engine.inputs == {} and engine.outputs == {}


def test_start_returns_before_the_work_is_done(tmp_path: Path, fake_cuda: FakeCuda) -> None:
    onnx, reference = graphs.affine(tmp_path)
    engine = TensorRtEngine(onnx, module=fake_tensorrt(fake_cuda))
    engine.inputs["x"][...] = 1
    engine.outputs["y"][...] = 77
    engine.start()
    assert (engine.outputs["y"] == 77).all()
    engine.wait()
    expected = reference({"x": np.ones((2, 4), np.float32)})["y"]
    np.testing.assert_allclose(engine.outputs["y"], expected, rtol=1e-6)
    engine.close()


def test_an_output_that_is_never_written_is_noticed(tmp_path: Path, fake_cuda: FakeCuda) -> None:
    onnx, _ = graphs.lookup(tmp_path)
    with pytest.raises(PlanUnfit, match="output 'half' was not written"):
        TensorRtEngine(onnx, module=fake_tensorrt(fake_cuda, {"half"}))


def test_a_plan_that_does_not_load_says_what_tensorrt_said(
    tmp_path: Path, fake_cuda: FakeCuda
) -> None:
    plan = tmp_path / "backbone.plan"
    plan.write_bytes(b"of another version")
    with pytest.raises(PlanUnfit, match=r"backbone\.plan: TensorRT cannot load it") as refused:
        TensorRtEngine(plan, module=fake_tensorrt(fake_cuda))
    assert refused.value.facts == "the plan is not of this version"


def test_a_shape_that_is_not_fixed_is_refused(tmp_path: Path, fake_cuda: FakeCuda) -> None:
    with pytest.raises(PlanUnfit, match="no fixed shape"):
        TensorRtEngine(graphs.dynamic(tmp_path), module=fake_tensorrt(fake_cuda))


@pytest.mark.parametrize(
    "call",
    [
        "cudaDeviceGetStreamPriorityRange", "cudaStreamCreateWithPriority", "cudaHostAlloc",
        "cudaMalloc", "cudaEventCreateWithFlags", "cudaMemsetAsync", "cudaMemcpyAsync",
        "cudaStreamSynchronize", "cudaStreamBeginCapture", "cudaGraphInstantiate",
    ],
)  # fmt: skip
def test_every_failing_call_is_named_and_leaks_nothing(
    tmp_path: Path, fake_cuda: FakeCuda, call: str
) -> None:
    onnx, _ = graphs.affine(tmp_path)
    fake_cuda.fail[call] = Code.cudaErrorMemoryAllocation
    with pytest.raises(DeviceMissing) as refused:
        TensorRtEngine(onnx, module=fake_tensorrt(fake_cuda))
    assert refused.value.facts == f"{call} returned cudaErrorMemoryAllocation (2)"


@pytest.mark.parametrize("call", ["cudaGraphLaunch", "cudaEventRecord", "cudaEventSynchronize"])
def test_a_gpu_that_fails_later_is_noticed(tmp_path: Path, fake_cuda: FakeCuda, call: str) -> None:
    onnx, _ = graphs.affine(tmp_path)
    engine = TensorRtEngine(onnx, module=fake_tensorrt(fake_cuda))
    fake_cuda.fail[call] = Code.cudaErrorMemoryAllocation
    with pytest.raises(DeviceMissing, match="did not do"):
        engine.start()
        engine.wait()
    fake_cuda.fail.clear()
    engine.close()


def test_a_refused_execution_is_noticed(tmp_path: Path, fake_cuda: FakeCuda) -> None:
    onnx, _ = graphs.affine(tmp_path)
    fake_cuda.fail["execute_async_v3"] = Code.cudaErrorNoDevice
    with pytest.raises(PlanUnfit, match="cannot run it"):
        TensorRtEngine(onnx, module=fake_tensorrt(fake_cuda))


def test_the_gpu_is_named_with_its_architecture(fake_cuda: FakeCuda) -> None:
    assert gpu.device_name(gpu.load_runtime()) == "Orin sm_87"


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, -1.5])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_no_computed_value_is_taken_for_poison(dtype: Any, value: float) -> None:
    array = np.full((3, 4), value, dtype)
    assert not gpu.is_poisoned(array)
    array.view(np.uint8).reshape(-1)[-array.itemsize :] = 0xFF
    assert gpu.is_poisoned(array)


class BuilderCalls:
    """The real TensorRT-RTX builder behind TensorRT's name, to see what is asked of it."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        assert name in ALL, f"{name} is not in all three versions"
        return getattr(self._real, name)


@pytest.mark.filterwarnings("ignore:Use Deprecated in TensorRT-RTX")
def test_the_builder_side_runs_on_a_real_builder(
    tmp_path: Path, fake_cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = pytest.importorskip("tensorrt_rtx_bindings")
    monkeypatch.setattr(tensorrt, "load_tensorrt", lambda: BuilderCalls(real))
    onnx, _ = graphs.affine(tmp_path)
    cache = tmp_path / "timings.cache"
    options = TensorRtOptions(workspace_bytes=1 << 28, timing_cache=cache)
    compile_tensorrt(onnx, tmp_path / "affine.plan", options)
    assert (tmp_path / "affine.plan").stat().st_size > 1000
    compile_tensorrt(onnx, tmp_path / "again.plan", options)
    with pytest.raises(ConfigWrong, match="cannot read"):
        compile_tensorrt(graphs.unknown_nodes(tmp_path), tmp_path / "no.plan", options)
