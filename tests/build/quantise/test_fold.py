"""Folding is exact: the same graph, fewer operations, whoever computes it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from neon_edge.build.cpu.form import cpu_form
from neon_edge.build.cpu.norms import fuse_norms
from neon_edge.build.importers import QuantisedLinear, dequantised
from neon_edge.build.quantise.fold import fold_scales
from neon_edge.build.quantise.linears import find_linears, matrix_of
from neon_edge.build.quantise.place import place
from neon_edge.build.quantise.round import round_int8
from tests.build.quantise.graphs import run

TOKENS, WIDTH, INNER = 16, 64, 96


def gated(second_reader: bool = False) -> onnx.ModelProto:
    """RMS norm, gate and up, sigmoid(gate) · up, down: as the exporter writes a decoder's MLP."""
    chance = np.random.default_rng(0)
    tensors = {
        "gain": chance.uniform(0.5, 2, WIDTH).astype(np.float32),
        "Wg": chance.standard_normal((WIDTH, INNER)).astype(np.float32) / 8,
        "Wu": chance.standard_normal((WIDTH, INNER)).astype(np.float32) / 8,
        "Wd": chance.standard_normal((INNER, WIDTH)).astype(np.float32) / 8,
        "two": np.float32(2),
        "eps": np.float32(1e-5),
        "last": np.array([-1]),
    }
    steps = [
        ("Pow", ["x", "two"], "p"), ("ReduceMean", ["p", "last"], "m"), ("Add", ["m", "eps"], "a"),
        ("Sqrt", ["a"], "s"), ("Reciprocal", ["s"], "r"), ("Mul", ["x", "r"], "n"),
        ("Mul", ["gain", "n"], "h"), ("MatMul", ["h", "Wg"], "g"), ("MatMul", ["h", "Wu"], "u"),
        ("Sigmoid", ["g"], "z"), ("Mul", ["z", "u"], "i"), ("MatMul", ["i", "Wd"], "d"),
        ("Add", ["d", "h" if second_reader else "x"], "out"),
    ]  # fmt: skip
    widths = {"g": INNER, "u": INNER, "z": INNER, "i": INNER, "m": 1, "a": 1, "s": 1, "r": 1}
    graph = helper.make_graph(
        [helper.make_node(op, given, [made], made) for op, given, made in steps],
        "gated",
        [helper.make_tensor_value_info("x", 1, [1, TOKENS, WIDTH])],
        [helper.make_tensor_value_info("out", 1, [1, TOKENS, WIDTH])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in tensors.items()],
        value_info=[
            helper.make_tensor_value_info(made, 1, [1, TOKENS, widths.get(made, WIDTH)])
            for _, _, made in steps[:-1]
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    return model


def smoothed() -> dict[str, QuantisedLinear]:
    """Weights-only, so that both ways compute the same up to rounding of floats."""
    model = gated()
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    chance = np.random.default_rng(1)
    of_norm = chance.uniform(0.5, 2, WIDTH).astype(np.float32)
    of_gate = chance.uniform(0.5, 2, INNER).astype(np.float32)
    scales = {"g": of_norm, "u": of_norm, "d": of_gate}
    return {
        linear.name: replace(
            round_int8(matrix_of(linear, stored) / scales[linear.name][:, None]),
            input_scale=scales[linear.name],
        )
        for linear in find_linears(model)
    }


def count(model: onnx.ModelProto, op: str) -> int:
    return sum(node.op_type == op for node in model.graph.node)


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(2).standard_normal((1, TOKENS, WIDTH)).astype(np.float32)


def test_gain_and_gate_take_the_factors_over(x: np.ndarray) -> None:
    placed = place(gated(), smoothed())
    assert count(placed, "Mul") == count(gated(), "Mul")
    wanted = run(_written_out(), x=x)[0]
    np.testing.assert_allclose(run(placed, x=x)[0], wanted, rtol=1e-4, atol=1e-4)


def test_what_something_else_reads_is_left_alone(x: np.ndarray) -> None:
    model = gated(second_reader=True)
    folded = fold_scales(model, smoothed())
    assert folded["g"].input_scale is not None
    assert folded["d"].input_scale is None
    skipped = {name: layer for name, layer in smoothed().items() if name != "u"}
    kept = fold_scales(gated(), skipped)
    assert kept["g"].input_scale is not None and kept["d"].input_scale is not None
    placed = place(gated(), skipped)
    np.testing.assert_allclose(
        run(placed, x=x)[0], run(_written_out(without="u"), x=x)[0], rtol=1e-4, atol=1e-4
    )


def test_a_norm_fused_for_the_cpu_is_torchs_norm(x: np.ndarray) -> None:
    model = gated()
    gain = torch.from_numpy(numpy_helper.to_array(model.graph.initializer[0]).copy())
    wanted = torch.nn.functional.rms_norm(torch.from_numpy(x), [WIDTH], gain, 1e-5).numpy()
    assert fuse_norms(model) == 1
    model.graph.output.append(helper.make_tensor_value_info("h", 1, [1, TOKENS, WIDTH]))
    np.testing.assert_allclose(run(model, x=x)[1], wanted, rtol=1e-5, atol=1e-5)
    assert count(cpu_form(place(gated(), smoothed())), "Pow") == 0


def _written_out(without: str = "") -> onnx.ModelProto:
    model = gated()
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, weight in (("g", "Wg"), ("u", "Wu"), ("d", "Wd")):
        if name != without:
            matrix = dequantised(smoothed()[name])
            stored[weight].CopyFrom(numpy_helper.from_array(matrix, weight))
    return model
