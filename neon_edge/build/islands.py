"""What must hold for a graph in half precision before any engine sees it.

- Norms, rotary embedding, softmax, gates, residual sums and the pool are float32: whatever is not
  a product, its bias or a copy of numbers.
- Every product but the pool is half: one that stayed float32 costs twice the bandwidth unseen.
- The operands of every node have one type, and inputs and outputs are float32.

Types are followed from the inputs through every node; what the graph says of them is not believed.
"""

from __future__ import annotations

from onnx import ModelProto, NodeProto, TensorProto, helper

from neon_edge.build.precision import COPIES, POOL_INPUT
from neon_edge.errors import ConfigWrong

_WIDE = TensorProto.FLOAT
_HALVES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
_FLOATS = (_WIDE, *_HALVES)
_SHOWN = 8
_BOOLS = ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "And", "Or", "Not", "IsNaN")
_TYPED_BY = {"DequantizeLinear": 1, "QuantizeLinear": 2, "Where": 1}
"""The input whose type the output has, where it is not the first."""


def lint_islands(model: ModelProto) -> None:
    """Raise `ConfigWrong` with everything that is wrong."""
    wrong = find_wrong(model)
    if wrong:
        raise ConfigWrong(
            f"{len(wrong)} places of the graph have the wrong precision",
            "\n         ".join(wrong[:_SHOWN]),
            "this is the build's mistake: report it with the recipe",
        )


def find_wrong(model: ModelProto) -> list[str]:
    """One line for every broken rule."""
    graph = model.graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    stored = set(types)
    types |= {value.name: value.type.tensor_type.elem_type for value in graph.input}
    made = {name: node for node in graph.node for name in node.output}
    wrong = [
        f"input {value.name} is {_name(types[value.name])}"
        for value in graph.input
        if types[value.name] in _HALVES
    ]
    for node in graph.node:
        found = [types[name] for name in node.input if name and types[name] in _FLOATS]
        result = _result(node, types)
        types |= dict.fromkeys(node.output, result)
        if len(set(found)) > 1 and node.op_type not in ("Cast", "DequantizeLinear"):
            wrong.append(f"{_title(node)} mixes {', '.join(sorted(set(map(_name, found))))}")
        elif _is_product(node):
            if _pools(node, made) and result != _WIDE:
                wrong.append(f"{_title(node)} is the pool, in {_name(result)}")
            elif not _pools(node, made) and result == _WIDE and not _excused(model, node):
                wrong.append(f"{_title(node)} multiplies in FLOAT")
        elif result in _HALVES and not _may_be_half(node, made, stored):
            wrong.append(f"{_title(node)} is in {_name(result)}")
    for value in graph.output:
        if types[value.name] in _HALVES:
            wrong.append(f"output {value.name} is {_name(types[value.name])}")
    return wrong


def _result(node: NodeProto, types: dict[str, int]) -> int:
    if node.op_type == "Cast":
        return int(helper.get_attribute_value(node.attribute[0]))
    if node.op_type == "Shape":
        return int(TensorProto.INT64)
    if node.op_type in _BOOLS:
        return int(TensorProto.BOOL)
    return types[node.input[_TYPED_BY.get(node.op_type, 0)]]


def _is_product(node: NodeProto) -> bool:
    return node.op_type in ("MatMul", "Gemm", "Conv")


def _excused(model: ModelProto, node: NodeProto) -> bool:
    """A Conv has no bfloat16 before opset 22."""
    if node.op_type != "Conv":
        return False
    half = {tensor.data_type for tensor in model.graph.initializer} & set(_HALVES)
    return half == {TensorProto.BFLOAT16}


def _pools(node: NodeProto, made: dict[str, NodeProto]) -> bool:
    waiting = list(node.input)
    while waiting:
        name = waiting.pop()
        if name == POOL_INPUT:
            return True
        maker = made.get(name)
        if maker is not None and maker.op_type in (*COPIES, "Cast"):
            waiting.append(maker.input[0])
    return False


def _may_be_half(node: NodeProto, made: dict[str, NodeProto], stored: set[str]) -> bool:
    if node.op_type in COPIES or node.op_type in ("Cast", "QuantizeLinear", "DequantizeLinear"):
        return True
    if node.op_type != "Add":
        return False
    makers = [made.get(name) for name in node.input]
    biases = [name in stored for name in node.input]
    return any(biases) and any(maker is not None and _is_product(maker) for maker in makers)


def _title(node: NodeProto) -> str:
    return f"{node.op_type} {node.name or node.output[0]!r}"


def _name(dtype: int) -> str:
    return str(TensorProto.DataType.Name(dtype))
