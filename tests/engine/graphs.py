"""Small ONNX graphs and what NumPy says they compute."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from neon_edge.engine.contract import Tensors

Reference = Callable[[Tensors], dict[str, Any]]
_TYPES = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
}


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: dict[str, tuple[str, list[Any]]],
    outputs: dict[str, tuple[str, list[Any]]],
    constants: dict[str, Any],
    *,
    external: bool = False,
) -> Path:
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info(n, _TYPES[t], s) for n, (t, s) in inputs.items()],
        [helper.make_tensor_value_info(n, _TYPES[t], s) for n, (t, s) in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(
        model,
        path,
        save_as_external_data=external,
        location=path.name + ".weights" if external else None,
        size_threshold=0,
    )
    return path


def affine(
    directory: Path, *, seed: int = 0, width: int = 4, external: bool = False
) -> tuple[Path, Reference]:
    """y (2, 3) = x (2, width) @ weight + bias"""
    random = np.random.default_rng(seed)
    weight = random.standard_normal((width, 3), np.float32)
    bias = random.standard_normal(3, np.float32)
    path = save(
        directory / "affine.onnx",
        [
            helper.make_node("MatMul", ["x", "weight"], ["product"], name="multiply"),
            helper.make_node("Add", ["product", "bias"], ["y"], name="add"),
        ],
        {"x": ("float32", [2, width])},
        {"y": ("float32", [2, 3])},
        {"weight": weight, "bias": bias},
        external=external,
    )
    return path, lambda tensors: {"y": tensors["x"] @ weight + bias}


def lookup(directory: Path, *, seed: int = 1) -> tuple[Path, Reference]:
    """Two inputs, two outputs, three types: rows of a table by id, plus x, whole and halved."""
    table = np.random.default_rng(seed).standard_normal((10, 8), np.float32)
    path = save(
        directory / "lookup.onnx",
        [
            helper.make_node("Gather", ["table", "ids"], ["rows"], name="gather"),
            helper.make_node("Add", ["rows", "x"], ["sum"], name="add"),
            helper.make_node("Cast", ["sum"], ["half"], name="halve", to=TensorProto.FLOAT16),
            helper.make_node("Mul", ["sum", "two"], ["double"], name="double"),
        ],
        {"ids": ("int64", [5]), "x": ("float32", [5, 8])},
        {"half": ("float16", [5, 8]), "double": ("float32", [5, 8])},
        {"table": table, "two": np.array(2, np.float32)},
    )

    def reference(tensors: Tensors) -> dict[str, Any]:
        total = table[tensors["ids"]] + tensors["x"]
        return {"half": total.astype(np.float16), "double": 2 * total}

    return path, reference


def unknown_nodes(directory: Path) -> Path:
    """Two nodes that no compiler knows, behind one another."""
    return save(
        directory / "unknown.onnx",
        [
            helper.make_node("Neon", ["x"], ["a"], name="first_unknown"),
            helper.make_node("Argon", ["a"], ["y"], name="second_unknown"),
        ],
        {"x": ("float32", [2])},
        {"y": ("float32", [2])},
        {},
    )


def dynamic(directory: Path) -> Path:
    """A batch that is not fixed."""
    return save(
        directory / "dynamic.onnx",
        [helper.make_node("Relu", ["x"], ["y"], name="relu")],
        {"x": ("float32", ["batch", 2])},
        {"y": ("float32", ["batch", 2])},
        {},
    )


def fill(tensors: Tensors, seed: int) -> dict[str, Any]:
    """Random values that fit each input; ids stay below ten."""
    random = np.random.default_rng(seed)
    return {
        name: random.integers(0, 10, array.shape, array.dtype)
        if array.dtype.kind == "i"
        else random.standard_normal(array.shape).astype(array.dtype)
        for name, array in tensors.items()
    }
