"""A float32 graph → one whose products run in float16 or bfloat16, strongly typed.

    float32 ─ Cast ─▶ [ product, its bias, copies of its result ] ─ Cast ─▶ float32

Every product reads and writes half precision; all between them stays float32: norms, rotary
embedding, softmax, gates, the residual sum and the pool. Weights are what costs bandwidth and
memory, so the islands cost little and nothing that grows with depth is ever rounded. Attention
scores are scaled ahead of their product: unscaled, a head's sum can leave float16's range.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import ml_dtypes
import numpy as np
import onnx_ir as ir
import torch

from neon_edge.build.weights import all_finite
from neon_edge.errors import ConfigWrong

Half = Literal["fp16", "bf16"]

POOL_INPUT = "pool_weights"
"""The product that reads it is the pool: a mean over tokens, whose sum needs float32."""

_MOVES = "Reshape Transpose Unsqueeze Squeeze Slice Expand Concat Gather Split Identity Tile"
COPIES = frozenset(_MOVES.split())
"""Operations that move numbers and never change them: the same in any type."""

DTYPES = {"fp16": ir.DataType.FLOAT16, "bf16": ir.DataType.BFLOAT16}
_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
_TORCH = {"fp16": torch.float16, "bf16": torch.bfloat16}
# Before opset 22 a Conv has no bfloat16; it stays float32 there.
_PRODUCTS = {"fp16": ("MatMul", "Gemm", "Conv"), "bf16": ("MatMul", "Gemm")}


def halve(model: ir.Model, precision: Half) -> None:
    """Change `model` in place. Inputs and outputs stay float32.

    A weight that half precision cannot hold raises `ConfigWrong` when it is written.
    """
    graph = model.graph
    _scale_ahead(graph)
    halves = _half_nodes(graph, precision)
    casts = _Casts(halves, precision)
    for node in list(graph):
        if node in halves:
            casts.lower(node)
    outputs = set(graph.outputs)
    for node in list(graph):
        if node in halves:
            for value in node.outputs:
                _widen(graph, value, halves, value in outputs)


def _half_nodes(graph: ir.Graph, precision: Half) -> set[ir.Node]:
    """Products, the sums that add their biases, and copies on their way from one to the next."""
    halves = {node for node in graph if _is_product(node, precision)}
    for node in graph:
        if _adds_bias(node, halves) or (_copies(node) and _all(_makers(node), halves)):
            halves.add(node)
    for node in reversed(list(graph)):
        if not _copies(node):
            continue
        read = [use.node in halves for value in node.outputs for use in value.uses()]
        if read and all(read):
            halves.add(node)
        elif not any(read):
            # Nothing half reads it: better widened ahead of it, once.
            halves.discard(node)
    return halves


def _is_product(node: ir.Node, precision: Half) -> bool:
    if node.op_type not in _PRODUCTS[precision]:
        return False
    return all(value is None or value.name != POOL_INPUT for value in _sources(node))


def _sources(node: ir.Node) -> list[ir.Value | None]:
    """What it reads, seen through the copies ahead of it."""
    found = []
    for value in node.inputs:
        source = value
        while source is not None and (maker := source.producer()) is not None and _copies(maker):
            source = maker.inputs[0]
        found.append(source)
    return found


def _adds_bias(node: ir.Node, halves: set[ir.Node]) -> bool:
    if node.op_type != "Add":
        return False
    stored = [value for value in node.inputs if value is not None and _stored(value)]
    made = [maker for maker in _makers(node) if maker in halves]
    return len(stored) == len(made) == 1 and len(stored[0].shape or ()) == 1


def _copies(node: ir.Node) -> bool:
    return node.op_type in COPIES and _is_float(node.outputs[0])


def _makers(node: ir.Node) -> list[ir.Node | None]:
    """Of its float inputs that are computed; None for one that comes from outside."""
    return [
        value.producer()
        for value in node.inputs
        if value is not None and _is_float(value) and not _stored(value)
    ]


def _all(nodes: Iterable[ir.Node | None], halves: set[ir.Node]) -> bool:
    found = list(nodes)
    return bool(found) and all(node in halves for node in found)


class _Casts:
    """One Cast down a tensor, however many products read it, and one half copy a weight."""

    def __init__(self, halves: set[ir.Node], precision: Half) -> None:
        self._halves = halves
        self._precision: Half = precision
        self._made: dict[ir.Value, ir.Value] = {}

    def lower(self, node: ir.Node) -> None:
        """Give `node` half inputs, and say that its outputs are half."""
        for place, value in enumerate(node.inputs):
            if value is None or value.dtype != ir.DataType.FLOAT:
                continue
            if value not in self._made:
                make = self._weight if _stored(value) else self._activation
                self._made[value] = make(value, node)
            node.replace_input_with(place, self._made[value])
        for value in node.outputs:
            value.dtype = DTYPES[self._precision]

    def _activation(self, value: ir.Value, reader: ir.Node) -> ir.Value:
        lowered = _cast(value, DTYPES[self._precision], f"{value.name}_half")
        maker, cast = value.producer(), lowered.producer()
        assert cast is not None
        if maker is None:
            # A graph input: ahead of the first that reads it, nodes being visited in order.
            reader.prepend(cast)
        else:
            maker.append(cast)
        return lowered

    def _weight(self, value: ir.Value, _: ir.Node) -> ir.Value:
        """In place, unless an island reads it too."""
        tensor = _lowered(value, self._precision)
        if all(use.node in self._halves for use in value.uses()):
            value.const_value, value.dtype = tensor, DTYPES[self._precision]
            return value
        copy = ir.Value(
            name=f"{value.name}_half",
            shape=value.shape,
            type=ir.TensorType(DTYPES[self._precision]),
            const_value=tensor,
        )
        assert value.graph is not None
        value.graph.register_initializer(copy)
        return copy


def _widen(graph: ir.Graph, value: ir.Value, halves: set[ir.Node], is_output: bool) -> None:
    """Cast a half result to float32 for who reads it outside. Graph outputs keep their names."""
    outside = [use for use in value.uses() if use.node not in halves]
    if not outside and not is_output:
        return
    name = value.name
    if is_output:
        value.name = f"{name}_half"
    wide = _cast(value, ir.DataType.FLOAT, name if is_output else f"{name}_wide")
    maker = value.producer()
    assert maker is not None
    cast = wide.producer()
    assert cast is not None
    maker.append(cast)
    for use in outside:
        use.node.replace_input_with(use.idx, wide)
    if is_output:
        graph.outputs[list(graph.outputs).index(value)] = wide


def _cast(value: ir.Value, dtype: ir.DataType, name: str | None) -> ir.Value:
    node = ir.Node(
        "", "Cast", [value], [ir.AttrInt64("to", dtype.value)], num_outputs=1, name=f"{name}_cast"
    )
    made = node.outputs[0]
    made.name, made.dtype, made.shape = name, dtype, value.shape
    return made


def _lowered(value: ir.Value, precision: Half) -> ir.LazyTensor:
    """Rounded when it is written, so that one tensor at a time is in memory twice."""
    tensor = value.const_value
    assert tensor is not None
    wide, name = tensor, value.name

    def rounded() -> Any:
        array = torch.from_numpy(np.asarray(wide.numpy()))
        half = array.to(_TORCH[precision]).contiguous()
        if not all_finite(half):
            raise ConfigWrong(
                f"weight {name!r} does not fit {precision}",
                f"largest magnitude {float(array.abs().max()):.3g}",
                'set precision = "bf16" in the recipe, whose range is that of fp32',
            )
        if precision == "bf16":
            half = half.view(torch.int16)
        plain = half.numpy()
        return ir.tensor(plain if precision == "fp16" else plain.view(_BFLOAT16), name=name)

    return ir.LazyTensor(rounded, DTYPES[precision], _shape(wide), name=name)


def _shape(tensor: Any) -> ir.Shape:
    return ir.Shape([int(size) for size in tensor.shape])


def _scale_ahead(graph: ir.Graph) -> None:
    """Attention's scale from behind the product of queries and keys to the queries."""
    for node in list(graph):
        scale = _scale_of_scores(node)
        if scale is None:
            continue
        product = next(maker for maker in _makers(node) if maker is not None)
        queries = product.inputs[0]
        assert queries is not None
        scaled = ir.Node("", "Mul", [queries, scale], num_outputs=1, name=f"{node.name}_ahead")
        made = scaled.outputs[0]
        made.name, made.shape = f"{node.name}_ahead", queries.shape
        # A type of its own: that of the queries may yet become half.
        made.type = ir.TensorType(queries.dtype or ir.DataType.FLOAT)
        product.prepend(scaled)
        product.replace_input_with(0, made)
        node.outputs[0].replace_all_uses_with(product.outputs[0])
        graph.remove(node, safe=True)


def _scale_of_scores(node: ir.Node) -> ir.Value | None:
    """The one number that `node` multiplies a product of two activations by, if it does that."""
    if node.op_type != "Mul" or node.outputs[0] in set(node.graph.outputs):  # type: ignore[union-attr]
        return None
    scale = [v for v in node.inputs if v is not None and _stored(v) and _numbers(v) == 1]
    made = [maker for maker in _makers(node) if maker is not None]
    if len(scale) != 1 or len(made) != 1 or made[0].op_type != "MatMul":
        return None
    product = made[0]
    alone = len(product.outputs[0].uses()) == 1
    return (
        scale[0] if alone and None not in _makers(product) and len(_makers(product)) == 2 else None
    )


def _numbers(value: ir.Value) -> int:
    assert value.const_value is not None
    return int(value.const_value.size)


def _stored(value: ir.Value) -> bool:
    return value.const_value is not None and value.producer() is None


def _is_float(value: ir.Value) -> bool:
    return value.dtype in (ir.DataType.FLOAT, *DTYPES.values())
