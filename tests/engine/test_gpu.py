"""The contract on a real GPU. Not part of any script: .venv/bin/pytest -m gpu tests/engine"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neon_edge.engine.contract import infer
from neon_edge.engine.cuda import device_name, load_runtime
from neon_edge.engine.rtx import compile_rtx, load_rtx
from neon_edge.engine.tensorrt import (
    TensorRtEngine,
    TensorRtOptions,
    compile_tensorrt,
    load_tensorrt,
)
from neon_edge.errors import DeviceMissing
from tests.engine import graphs

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def gpu() -> None:
    try:
        device_name(load_runtime())
    except DeviceMissing as missing:
        pytest.skip(f"{missing.wrong}: {missing.facts}")


def opened(onnx: Path, module: str) -> TensorRtEngine:
    plan = onnx.with_suffix(".plan")
    if module == "tensorrt":
        pytest.importorskip("tensorrt")
        compile_tensorrt(onnx, plan, TensorRtOptions())
        return TensorRtEngine(plan, urgent=True, module=load_tensorrt())
    compile_rtx(onnx, plan, "CURRENT")
    return TensorRtEngine(plan, urgent=True, module=load_rtx())


@pytest.mark.parametrize("module", ["tensorrt", "tensorrt_rtx_bindings"])
def test_a_gpu_computes_what_numpy_computes(tmp_path: Path, module: str) -> None:
    onnx, reference = graphs.lookup(tmp_path)
    engine = opened(onnx, module)
    addresses = {name: array.ctypes.data for name, array in engine.outputs.items()}
    for seed in range(20):
        tensors = graphs.fill(engine.inputs, seed)
        found = infer(engine, tensors)
        for name, value in reference(tensors).items():
            np.testing.assert_allclose(found[name], value, rtol=1e-3 if name == "half" else 1e-5)
    assert {name: array.ctypes.data for name, array in engine.outputs.items()} == addresses
    engine.close()


def test_two_engines_do_not_disturb_each_other(tmp_path: Path) -> None:
    onnx, reference = graphs.affine(tmp_path)
    one, two = (opened(onnx, "tensorrt") for _ in range(2))
    for seed in range(50):
        first, second = graphs.fill(one.inputs, seed), graphs.fill(two.inputs, seed + 1000)
        np.copyto(one.inputs["x"], first["x"])
        np.copyto(two.inputs["x"], second["x"])
        one.start()
        two.start()
        two.wait()
        one.wait()
        np.testing.assert_allclose(one.outputs["y"], reference(first)["y"], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(two.outputs["y"], reference(second)["y"], rtol=1e-5, atol=1e-6)
    one.close()
    two.close()
