"""What every engine promises, held against every implementation that can run here."""

from __future__ import annotations

import ctypes
import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neon_edge.engine.contract import infer
from tests.engine import graphs
from tests.engine.conftest import Open


@pytest.mark.parametrize("graph", [graphs.affine, graphs.lookup])
def test_it_computes_what_numpy_computes(
    tmp_path: Path, open_any: Open, graph: Callable[[Path], tuple[Path, graphs.Reference]]
) -> None:
    onnx, reference = graph(tmp_path)
    engine = open_any(onnx)
    for seed in range(20):
        tensors = graphs.fill(engine.inputs, seed)
        expected = reference(tensors)
        found = infer(engine, tensors)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert found[name].dtype == value.dtype
            np.testing.assert_allclose(found[name], value, rtol=1e-3 if name == "half" else 1e-5)
    engine.close()


def test_buffers_never_move(tmp_path: Path, open_any: Open) -> None:
    onnx, reference = graphs.lookup(tmp_path)
    engine = open_any(onnx)

    def addresses() -> dict[str, int]:
        return {n: a.ctypes.data for n, a in (*engine.inputs.items(), *engine.outputs.items())}

    before = addresses()
    held = dict(engine.outputs)
    for seed in range(50):
        tensors = graphs.fill(engine.inputs, seed)
        for name, value in tensors.items():
            np.copyto(engine.inputs[name], value)
        engine.start()
        engine.wait()
        # Through arrays taken before the first run: they are the buffers and not copies of them.
        np.testing.assert_allclose(held["double"], reference(tensors)["double"], rtol=1e-5)
    assert addresses() == before
    del held
    engine.close()


def test_inputs_are_left_as_they_were(tmp_path: Path, open_any: Open) -> None:
    onnx, _ = graphs.affine(tmp_path)
    engine = open_any(onnx)
    tensors = graphs.fill(engine.inputs, 3)
    first = infer(engine, tensors)
    engine.start()
    engine.wait()
    np.testing.assert_array_equal(engine.inputs["x"], tensors["x"])
    np.testing.assert_array_equal(engine.outputs["y"], first["y"])
    engine.close()


def _heap_bytes() -> int:
    """In use by malloc, large blocks included (glibc `mallinfo2`)."""

    # arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost
    class Heap(ctypes.Structure):
        _fields_ = [(f"f{i}", ctypes.c_size_t) for i in range(10)]

    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = Heap
    heap: Any = libc.mallinfo2()
    return int(heap.f7 + heap.f4)


def test_a_thousand_runs_allocate_nothing_that_stays(tmp_path: Path, on_cpu: Open) -> None:
    onnx, _ = graphs.affine(tmp_path, width=4096)
    engine = on_cpu(onnx)
    for _ in range(50):
        engine.start()
        engine.wait()
    gc.collect()
    tracemalloc.start()
    heap, python = _heap_bytes(), tracemalloc.get_traced_memory()[0]
    for _ in range(1000):
        engine.start()
        engine.wait()
    gc.collect()
    grown_python = tracemalloc.get_traced_memory()[0] - python
    grown_heap = _heap_bytes() - heap
    tracemalloc.stop()
    # One object a run, of the smallest there is, would be 16,000.
    assert grown_python < 12_000
    assert grown_heap < 65536
    engine.close()
