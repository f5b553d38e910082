"""One way to open each implementation that can run here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from neon_edge.engine.contract import Engine
from neon_edge.engine.onnxruntime import OnnxRuntimeEngine, compile_onnxruntime
from neon_edge.engine.tensorrt import TensorRtEngine
from tests.engine.fake_cuda import FakeCuda
from tests.engine.fake_tensorrt import fake_tensorrt

Open = Callable[[Path], Engine]


@pytest.fixture
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCuda]:
    """A GPU in place of the real one; everything taken from it must be given back."""
    cuda = FakeCuda()
    bindings = ModuleType("cuda.bindings")
    bindings.runtime = cuda  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cuda", ModuleType("cuda"))
    monkeypatch.setitem(sys.modules, "cuda.bindings", bindings)
    yield cuda
    assert cuda.alive == set()


@pytest.fixture
def on_cpu(tmp_path: Path) -> Open:
    def opened(onnx: Path) -> Engine:
        plan = tmp_path / "plan.ort.onnx"
        compile_onnxruntime(onnx, plan, threads=1)
        return OnnxRuntimeEngine(plan, threads=1)

    return opened


@pytest.fixture
def on_fake_gpu(fake_cuda: FakeCuda) -> Open:
    return lambda onnx: TensorRtEngine(onnx, module=fake_tensorrt(fake_cuda))


@pytest.fixture(params=["on_cpu", "on_fake_gpu"])
def open_any(request: pytest.FixtureRequest) -> Open:
    """Compile an ONNX file and open it, with every implementation that can run here in turn."""
    opened: Open = request.getfixturevalue(request.param)
    return opened
