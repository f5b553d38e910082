"""Fused attention gives what torch gives, and what is no such attention is left as it is."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from neon_edge.build.cpu.attention import fuse_attention
from neon_edge.build.cpu.rotary import fuse_rotations
from tests.build.cpu.attending import Attending, Shape, drawn, exported
from tests.build.quantise.graphs import run

CLOSE = {"rtol": 1e-4, "atol": 2e-6}
SHAPES = {
    "causal, heads that share keys": Shape(),
    "causal, a key for each head": Shape(shared=1),
    "one key for all": Shape(shared=4),
    "a window": Shape(mask="window"),
    "no mask": Shape(mask="none"),
    "normed heads": Shape(normed=True),
    "blocks of queries": Shape(tokens=300),
    "vision": Shape(shared=1, mask="none", vision=True),
}


@pytest.fixture(scope="module", params=SHAPES.values(), ids=SHAPES.keys())
def layer(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Attending, onnx.ModelProto]:
    module = Attending(request.param)
    path = tmp_path_factory.mktemp("layer") / "one.onnx"
    return module, exported(module, request.param, path)


def ops(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def test_fused_attention_is_torchs(layer: tuple[Attending, onnx.ModelProto]) -> None:
    module, exact = layer
    model = onnx.ModelProto.FromString(exact.SerializeToString())
    x = drawn(module.shape)
    assert fuse_rotations(model) == 2
    assert fuse_attention(model) == 1
    left = ops(model)
    assert left["Softmax"] == left["Transpose"] == left["Expand"] == left["Neg"] == 0
    assert left["Attention"] == max(1, module.shape.tokens // 64)
    wanted = module(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(run(model, x=x)[0], wanted, **CLOSE)


def test_attention_is_fused_around_rotations_that_are_none(tmp_path: Path) -> None:
    shape = Shape()
    module = Attending(shape, same_halves=False)
    model = exported(module, shape, tmp_path / "one.onnx")
    assert fuse_rotations(model) == 0
    assert fuse_attention(model) == 1
    x = drawn(shape)
    np.testing.assert_allclose(run(model, x=x)[0], module(torch.from_numpy(x)).numpy(), **CLOSE)


def bare(mask: np.ndarray, kind: int = TensorProto.FLOAT, axis: int = -1) -> onnx.ModelProto:
    """softmax(q kᵀ + mask) v of (1, 2, 4, 8), nothing around it."""
    nodes = [
        helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 1, 3, 2]),
        helper.make_node("MatMul", ["q", "kt"], ["raw"]),
        helper.make_node("Mul", ["raw", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "mask"], ["masked"]),
        helper.make_node("Softmax", ["masked"], ["share"], axis=axis),
        helper.make_node("MatMul", ["share", "v"], ["out"]),
    ]
    shapes = {"kt": [1, 2, 8, 4], "raw": [1, 2, 4, 4], "scaled": [1, 2, 4, 4]}
    numbers = helper.tensor_dtype_to_np_dtype(kind)
    stored = {"scale": np.asarray(0.5, numbers), "mask": mask.astype(numbers)}
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "bare",
        [value(name, kind, [1, 2, 4, 8]) for name in "qkv"],
        [value("out", kind, [1, 2, 4, 8])],
        [numpy_helper.from_array(np.asarray(each), name) for name, each in stored.items()],
        value_info=[value(name, kind, shape) for name, shape in shapes.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    return model


def test_heads_that_stand_alone_are_fused_as_they_are() -> None:
    mask = np.random.default_rng(0).standard_normal((1, 1, 4, 4)).astype(np.float32)
    model = bare(mask)
    feeds = {
        n: np.random.default_rng(i).standard_normal((1, 2, 4, 8), np.float32)
        for i, n in enumerate("qkv")
    }
    wanted = run(model, **feeds)[0]
    assert fuse_attention(model) == 1 and ops(model) == {"Attention": 1}
    np.testing.assert_allclose(run(model, **feeds)[0], wanted, **CLOSE)


@pytest.mark.parametrize(
    "model",
    [
        bare(np.zeros((1, 1, 4, 4)), TensorProto.FLOAT16),
        bare(np.zeros(())),
        bare(np.zeros((1, 1, 1, 4))),
        bare(np.zeros((1, 1, 4, 4)), axis=2),
    ],
    ids=["half precision", "a mask of one number", "a mask of columns", "softmax of another axis"],
)
def test_what_is_something_else_is_left_alone(model: onnx.ModelProto) -> None:
    before = model.SerializeToString()
    assert fuse_attention(model) == 0
    assert model.SerializeToString() == before


def test_scores_that_somebody_else_reads_stay() -> None:
    model = bare(np.zeros((1, 1, 4, 4)))
    model.graph.output.append(
        helper.make_tensor_value_info("share", TensorProto.FLOAT, [1, 2, 4, 4])
    )
    feeds = {
        n: np.random.default_rng(i).standard_normal((1, 2, 4, 8), np.float32)
        for i, n in enumerate("qkv")
    }
    wanted = run(model, **feeds)
    assert fuse_attention(model) == 1
    for found, exact in zip(run(model, **feeds), wanted, strict=True):
        np.testing.assert_allclose(found, exact, **CLOSE)
