"""What must hold for a quantised graph before any engine sees it.

- Q and DQ stand only around Linears: a norm, a residual sum, a softmax, an attention product or a
  rotary table that is fed by one is refused (ViT-B lost 80 points of accuracy that way,
  onnxsim/onnxsim#1742).
- The scale, the output of DQ and both operands of the product behind it have one type: Orin's
  compiler fails on an FP32 tensor with an FP16 scale (NVIDIA/TensorRT#4832) and no PC does.
- No zero points, constant positive scales: TensorRT's rules.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from neon_edge.errors import ConfigWrong


def lint(model: ModelProto) -> None:
    """Raise `ConfigWrong` with everything that is wrong."""
    wrong = find_wrong(model)
    if wrong:
        raise ConfigWrong(
            f"{len(wrong)} wrongly quantised places in the graph",
            "\n         ".join(wrong[:8]),
            "this is the build's mistake: report it with the recipe",
        )


def find_wrong(model: ModelProto) -> list[str]:
    """One line for every broken rule."""
    return [*_wrong_places(model), *_wrong_types(model)]


def _wrong_places(model: ModelProto) -> list[str]:
    users: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    weights = {tensor.name for tensor in model.graph.initializer}
    made = {node.output[0]: node for node in model.graph.node}
    wrong = []
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            wrong += [
                f"{node.name}: codes go into {user.op_type} {user.name}, not into DequantizeLinear"
                for user in users.get(node.output[0], [])
                if user.op_type != "DequantizeLinear"
            ]
        if node.op_type != "DequantizeLinear":
            continue
        for user in users.get(node.output[0], []):
            if not _is_linear(user, made, weights):
                wrong.append(f"{user.op_type} {user.name} is fed by {node.name}")
    return wrong


def _is_linear(node: NodeProto, made: dict[str, NodeProto], weights: set[str]) -> bool:
    """A product whose second operand is a constant, dequantised or not."""
    if node.op_type != "MatMul":
        return False
    source = made.get(node.input[1])
    if source is None:
        return node.input[1] in weights
    return source.op_type == "DequantizeLinear" and source.input[0] in weights


def _wrong_types(model: ModelProto) -> list[str]:
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    types = _types(model, stored)
    wrong = []
    for node in model.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        scale = stored.get(node.input[1])
        if scale is None:
            wrong.append(f"{node.name}: its scale is not a constant")
            continue
        values = np.asarray(numpy_helper.to_array(scale), np.float32)
        if not np.isfinite(values).all() or (values <= 0).any():
            wrong.append(f"{node.name}: scales from {values.min()} to {values.max()}")
        wrong += _zero_point(node, stored)
        # Q reads an activation, DQ writes one; both must be of the scale's type.
        activation = node.input[0] if node.op_type == "QuantizeLinear" else node.output[0]
        known = types.get(activation, scale.data_type)
        if known != scale.data_type:
            wrong.append(
                f"{node.name}: scale {_name(scale.data_type)}, activation {_name(known)} "
                "(NVIDIA/TensorRT#4832)"
            )
    return [*wrong, *_mixed_products(model, types)]


def _types(model: ModelProto, stored: dict[str, TensorProto]) -> dict[str, int]:
    """The element type of every tensor: as stated, else that of what it is made from."""
    types = {name: tensor.data_type for name, tensor in stored.items()}
    types |= {
        value.name: value.type.tensor_type.elem_type
        for value in (*model.graph.value_info, *model.graph.input, *model.graph.output)
    }
    for node in model.graph.node:
        # Of a DQ it is the scale's; of a Cast what it says; all else that stands beside Linears
        # computes in the type that it reads.
        source = node.input[1:2] if node.op_type == "DequantizeLinear" else node.input[:1]
        made = [item.i for item in node.attribute if node.op_type == "Cast" and item.name == "to"]
        made += [types[name] for name in source if name in types]
        for name in node.output:
            if made and node.op_type != "QuantizeLinear":
                types.setdefault(name, made[0])
    return types


def _zero_point(node: NodeProto, stored: dict[str, TensorProto]) -> list[str]:
    if len(node.input) < 3 or not node.input[2]:
        return []
    zero = stored.get(node.input[2])
    if zero is None or numpy_helper.to_array(zero).any():
        return [f"{node.name}: its zero point is not a constant 0"]
    return []


def _mixed_products(model: ModelProto, types: dict[str, int]) -> list[str]:
    """Both operands of a product that reads a dequantised tensor have one type."""
    made = {node.output[0]: node.op_type for node in model.graph.node}
    wrong = []
    for node in model.graph.node:
        if all(made.get(name) != "DequantizeLinear" for name in node.input):
            continue
        kinds = {types[name] for name in node.input if name in types}
        if len(kinds) > 1:
            wrong.append(
                f"{node.name}: its operands are {' and '.join(sorted(map(_name, kinds)))} "
                "(NVIDIA/TensorRT#4832)"
            )
    return wrong


def _name(dtype: int) -> str:
    return str(TensorProto.DataType.Name(dtype))
