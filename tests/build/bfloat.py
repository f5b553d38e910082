"""A bfloat16 graph on a runtime that has none: float32 with every bfloat16 result rounded.

ONNX Runtime's CPU multiplies no bfloat16, but its Cast knows the type. Products then sum in
float32 and round once at their end, which is what tensor cores do.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnxruntime import GraphOptimizationLevel, InferenceSession, SessionOptions

from neon_edge.build.precision import COPIES

_BRAIN, _WIDE = TensorProto.BFLOAT16, TensorProto.FLOAT


def emulated(model: ModelProto) -> ModelProto:
    """The same graph, every tensor that was bfloat16 a float32 of a bfloat16's numbers."""
    made = ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    brain = {tensor.name for tensor in graph.initializer if tensor.data_type == _BRAIN}
    for tensor in graph.initializer:
        if tensor.name in brain:
            wide = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
    nodes: list[NodeProto] = []
    for node in graph.node:
        nodes += _rounded(node, brain)
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]
    return made


def _rounded(node: NodeProto, brain: set[str]) -> list[NodeProto]:
    """The node and, behind what computes in bfloat16, its rounding. Adds to `brain`."""
    if node.op_type == "Cast":
        to = helper.get_attribute_value(node.attribute[0])
        if to == _BRAIN:
            brain.update(node.output)
            return _round(node.input[0], node.output[0])
        if node.input[0] in brain and to == _WIDE:
            return [helper.make_node("Identity", node.input, node.output)]
        return [node]
    if not any(name in brain for name in node.input):
        return [node]
    brain.update(node.output)
    if node.op_type in COPIES:
        return [node]
    assert len(node.output) == 1, node.op_type
    result, exact = node.output[0], f"{node.output[0]}_exact"
    node.output[0] = exact
    return [node, *_round(exact, result)]


def _round(source: str, target: str) -> list[NodeProto]:
    narrow = f"{target}_bf16"
    return [
        helper.make_node("Cast", [source], [narrow], to=_BRAIN),
        helper.make_node("Cast", [narrow], [target], to=_WIDE),
    ]


def write_emulated(bundle: Path, names: list[str], target: Path) -> None:
    """Graphs of a bundle, emulated, under the same names."""
    for name in names:
        model = onnx.load(bundle / name)
        assert any(tensor.data_type == _BRAIN for tensor in model.graph.initializer)
        onnx.save(emulated(model), target / name)


def session(path: Path) -> InferenceSession:
    """Exactly the operations of the file: a pair of casts is no detour to be saved."""
    options = SessionOptions()
    options.graph_optimization_level = GraphOptimizationLevel.ORT_DISABLE_ALL
    return InferenceSession(str(path), options)
