"""Small graphs with known Linears, and the numbers that run through them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, TensorProto, helper, numpy_helper

from neon_edge.build.importers import QuantisedLinear, dequantised
from neon_edge.types import Float32

TOKENS, WIDTH = 24, 64


def two_linears(seed: int = 0, outputs: int = 96) -> ModelProto:
    """embeds ─ Mul ─ MatMul first ─ Relu ─ Gemm second (transposed, with bias) ─ out."""
    chance = np.random.default_rng(seed)
    first = chance.standard_normal((WIDTH, outputs), np.float32) / 8
    second = chance.standard_normal((WIDTH, outputs), np.float32) / 8
    bias = chance.standard_normal(WIDTH, np.float32)
    gain = chance.uniform(0.5, 2, WIDTH).astype(np.float32)
    nodes = [
        helper.make_node("Mul", ["embeds", "gain"], ["x"], "gain"),
        helper.make_node("MatMul", ["x", "W1"], ["y"], "first"),
        helper.make_node("Relu", ["y"], ["z"], "relu"),
        helper.make_node("Gemm", ["z", "W2", "b"], ["out"], "second", transB=1),
    ]
    tensors = {"W1": first, "W2": second, "b": bias, "gain": gain}
    graph = helper.make_graph(
        nodes,
        "two",
        [helper.make_tensor_value_info("embeds", TensorProto.FLOAT, [TOKENS, WIDTH])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [TOKENS, WIDTH])],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    for name, width in (("x", WIDTH), ("y", outputs), ("z", outputs)):
        graph.value_info.append(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [TOKENS, width])
        )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    onnx.checker.check_model(model, full_check=True)
    return model


def halved(model: ModelProto) -> ModelProto:
    """Every float of the graph as float16."""
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            values = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    return model


def run(model: ModelProto, **feeds: Float32) -> list[Any]:
    """Exactly: 4-bit products do not round their activations."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, feeds))


def with_matrices(model: ModelProto, layers: dict[str, QuantisedLinear]) -> ModelProto:
    """The float graph with each layer's matrix written out: another way to the same answer."""
    places = {node.name: node for node in model.graph.node}
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, layer in layers.items():
        node = places[name]
        matrix = dequantised(layer)
        if node.op_type == "Gemm":
            matrix = matrix.T
        tensor = stored[node.input[1]]
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(matrix), tensor.name))
    return model
