"""Looking at a graph from a tensor backwards, and what goes when nodes are replaced."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from neon_edge.build.cpu.graph import Graph, setting


def model() -> onnx.ModelProto:
    """x + table, as (2, 1, 4), and its double beside it that nobody wants."""
    nodes = [
        helper.make_node("Unsqueeze", ["table", "axes"], ["wide"]),
        helper.make_node("Add", ["x", "wide"], ["sum"]),
        helper.make_node("Softmax", ["sum"], ["out"], axis=1),
    ]
    stored = {"table": np.arange(8, dtype=np.float32).reshape(2, 4), "axes": np.array([1])}
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "three",
        [value("x", TensorProto.FLOAT, [2, 3, 4])],
        [value("out", TensorProto.FLOAT, [2, 3, 4])],
        [numpy_helper.from_array(each, name) for name, each in stored.items()],
        value_info=[value("sum", TensorProto.FLOAT16, [2, 3, 4])],
    )
    return helper.make_model(graph)


def test_constants_are_seen_through_axes_of_one() -> None:
    graph = Graph(model())
    wide = graph.constant("wide")
    assert wide is not None and wide.shape == (2, 1, 4)
    assert graph.constant("x") is None and graph.constant("nobody") is None
    assert graph.integers("axes") == [1] and graph.integers("x") == []


def test_sides_of_a_sum_are_told_apart() -> None:
    graph = Graph(model())
    node = graph.by("sum", "Add")
    assert node is not None and graph.split(node) == ("x", "wide")
    assert graph.by("sum", "Mul") is None


def test_shapes_are_those_of_single_precision() -> None:
    graph = Graph(model())
    assert graph.shape("x") == (2, 3, 4)
    assert graph.shape("sum") == () and graph.shape("wide") == ()


def test_a_reader_is_one_and_the_only_one() -> None:
    graph = Graph(model())
    assert graph.reader("sum", "Softmax") is not None
    assert graph.reader("sum", "Add") is None
    assert graph.reader("out", "Softmax") is None


def test_what_nobody_reads_goes_with_what_is_replaced() -> None:
    changed = model()
    graph = Graph(changed)
    graph.replace({"out": [helper.make_node("Softmax", ["x"], ["out"], axis=2)]})
    assert [node.op_type for node in changed.graph.node] == ["Softmax"]
    assert setting(changed.graph.node[0], "axis") == 2
    assert setting(changed.graph.node[0], "perm") is None


def test_a_constant_is_stored_once() -> None:
    changed = model()
    graph = Graph(changed)
    before = len(changed.graph.initializer)
    for _ in range(2):
        assert graph.store("half", np.zeros(2, np.float32)) == "half"
    assert len(changed.graph.initializer) == before + 1
