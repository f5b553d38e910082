"""Attention as ONNX's own operator, which no exporter of ours writes: TensorRT wants its pieces.

softmax(q·kᵀ·scale + mask)·v, each key's head repeated for those that share it  ─▶  Attention
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, helper

from neon_edge.build.cpu.causal import causal_blocks
from neon_edge.build.cpu.graph import Graph, setting
from neon_edge.build.onnx_file import raise_opset
from neon_edge.build.quantise.onnx_types import Array

OPSET = 23
"""The first with Attention (onnx.ai/onnx/operators/onnx__Attention.html)."""
HEADS_FIRST = [0, 2, 1, 3]
_NEVER = -1e30
"""A mask that is lower than this leaves nothing of a score."""


@dataclass(frozen=True)
class _Found:
    """Tensors (batch, heads, tokens, width) and what is done with them."""

    query: str
    key: str
    value: str
    made: list[NodeProto]
    """What makes `key` where the graph has only its transpose."""
    scale: float
    mask: str
    causal: bool
    heads: tuple[int, int]
    """Of queries, and of keys and values."""
    output: str


def fuse_attention(model: ModelProto) -> int:
    """Change `model`; how many were fused. Masks that are computed stay as they are."""
    graph = Graph(model)
    fused: dict[str, list[NodeProto]] = {}
    for node in graph.nodes:
        found = _found(graph, node) if node.op_type == "MatMul" else None
        if found is not None:
            nodes = _flat(graph, found) or _whole(found)
            fused[nodes[-1].output[0]] = nodes
    graph.replace(fused)
    if fused:
        raise_opset(model, OPSET)
    return len(fused)


def _found(graph: Graph, product: NodeProto) -> _Found | None:
    soft = graph.by(product.input[0], "Softmax")
    if soft is None or setting(soft, "axis") not in (-1, 3):
        return None
    masked, mask = _without(graph, soft.input[0], "Add")
    scaled, factor = _without(graph, masked, "Mul")
    scores = graph.by(scaled, "MatMul")
    key, made = _key(graph, scores.input[1]) if scores is not None else ("", [])
    scale = graph.constant(factor) if factor else np.ones(1, np.float32)
    if scores is None or not key or scale is None or scale.size != 1:
        return None
    value = _unrepeated(graph, product.input[1])
    queries, keys, values = (_heads(graph, n) for n in (scores.input[0], key, value))
    keys = keys or (_heads(graph, scores.input[1]) if made else 0)
    if not queries or not keys or keys != values:
        return None
    added = graph.constant(mask) if mask else None
    if added is not None and added.shape[-2:] != graph.shape(scores.output[0])[-2:]:
        return None
    causal = _causal(added)
    return _Found(
        query=scores.input[0],
        key=key,
        value=value,
        made=made,
        scale=float(scale.reshape(-1)[0]),
        mask="" if causal else mask,
        causal=causal,
        heads=(queries, keys),
        output=product.output[0],
    )


def _heads(graph: Graph, name: str) -> int:
    """Of (batch, heads, tokens, width) or (batch, heads, width, tokens); 0: it is neither."""
    shape = graph.shape(name)
    return shape[1] if len(shape) == 4 else 0


def _key(graph: Graph, name: str) -> tuple[str, list[NodeProto]]:
    """Keys whose transpose is `name`, and nodes that make them; empty: there are none."""
    turned = graph.by(name, "Transpose")
    order = setting(turned, "perm") if turned is not None else None
    if turned is None or order not in ([0, 1, 3, 2], [0, 2, 3, 1]):
        return "", []
    if order == [0, 1, 3, 2]:
        return _unrepeated(graph, turned.input[0]), []
    key = f"{name}.key"
    return key, [helper.make_node("Transpose", [turned.input[0]], [key], perm=HEADS_FIRST)]


def _without(graph: Graph, name: str, op: str) -> tuple[str, str]:
    """What a constant was added to or multiplied with, and that constant; `name` alone else."""
    node = graph.by(name, op)
    parts = graph.split(node) if node is not None else None
    return parts or (name, "")


def _unrepeated(graph: Graph, name: str) -> str:
    """(b, heads, t, w) of which `name` is (b, heads × n, t, w), each head n times in a row."""
    joined = graph.by(name, "Reshape")
    spread = graph.by(joined.input[0], "Expand") if joined is not None else None
    raised = graph.by(spread.input[0], "Unsqueeze") if spread is not None else None
    if joined is None or raised is None or graph.integers(raised.input[1]) != [2]:
        return name
    few, many = graph.shape(raised.input[0]), graph.shape(name)
    same = len(few) == len(many) == 4 and (few[0], *few[2:]) == (many[0], *many[2:])
    return raised.input[0] if same else name


def _causal(mask: Array | None) -> bool:
    """Whether every token sees itself and all before it, and none after."""
    if mask is None or mask.shape[-2] != mask.shape[-1] or mask.size != mask.shape[-1] ** 2:
        return False
    square = mask.reshape(mask.shape[-2:])
    after = np.triu(np.ones_like(square, bool), 1)
    return bool((square[~after] == 0).all() and (square[after] <= _NEVER).all())


def _inputs(found: _Found) -> list[str]:
    inputs = [found.query, found.key, found.value]
    return [*inputs, found.mask] if found.mask else inputs


def _whole(found: _Found) -> list[NodeProto]:
    return [*found.made, _attention(found, _inputs(found), found.output, found.causal)]


def _attention(
    found: _Found, inputs: list[str], output: str, causal: bool, **heads: int
) -> NodeProto:
    return helper.make_node(
        "Attention",
        inputs,
        [output],
        f"{output}.attention",
        scale=found.scale,
        is_causal=int(causal),
        **heads,
    )


def _flat(graph: Graph, found: _Found) -> list[NodeProto]:
    """The same over (batch, tokens, heads × width), which needs no transposes; empty: it cannot."""
    turned = graph.reader(found.output, "Transpose")
    if turned is None or setting(turned, "perm") != HEADS_FIRST:
        return []
    joined = graph.reader(turned.output[0], "Reshape")
    if joined is None:
        return []
    nodes: list[NodeProto] = []
    inputs = _inputs(found)
    for index, name in enumerate(inputs[:3]):
        made = _rows(graph, name, found.made)
        if made is None:
            return []
        inputs[index] = made[0]
        nodes += made[1]
    output = str(joined.output[0])
    plain = graph.shape(output) == _joined(graph.shape(turned.output[0]))
    rows = output if plain else f"{found.output}.rows"
    nodes += _of_rows(graph, found, inputs, rows)
    if not plain:
        nodes.append(helper.make_node("Reshape", [rows, joined.input[1]], [output]))
        nodes[-1].attribute.extend(joined.attribute)
    return nodes


def _of_rows(graph: Graph, found: _Found, inputs: list[str], output: str) -> list[NodeProto]:
    queries, keys = found.heads

    def attend(inputs: list[str], output: str, causal: bool = False) -> NodeProto:
        return _attention(found, inputs, output, causal, q_num_heads=queries, kv_num_heads=keys)

    tokens = graph.shape(found.query)[2]
    blocks = causal_blocks(graph, inputs, output, tokens, attend) if found.causal else []
    return blocks or [attend(inputs, output, found.causal)]


def _rows(graph: Graph, name: str, made: list[NodeProto]) -> tuple[str, list[NodeProto]] | None:
    """`name`, heads first, as (batch, tokens, heads × width), and nodes that make it so."""
    rotated = graph.by(name, "RotaryEmbedding")
    own = next((node for node in made if node.output[0] == name), None)
    turned = own or graph.by(rotated.input[0] if rotated is not None else name, "Transpose")
    if turned is None or setting(turned, "perm") != HEADS_FIRST:
        return None
    rows, nodes = _joined_heads(graph, turned.input[0])
    if rotated is not None:
        again = NodeProto()
        again.CopyFrom(rotated)
        again.input[0], again.output[0] = rows, f"{name}.rows"
        return again.output[0], [*nodes, again]
    return rows, nodes


def _joined_heads(graph: Graph, name: str) -> tuple[str, list[NodeProto]]:
    """(batch, tokens, heads, width) as (batch, tokens, heads × width): as it was, if it was so."""
    parted = graph.by(name, "Reshape")
    if parted is not None and graph.shape(parted.input[0]) == _joined(graph.shape(name)):
        return str(parted.input[0]), []
    shape = graph.store("attention.rows", np.array([0, 0, -1], np.int64))
    rows = f"{name}.rows"
    return rows, [helper.make_node("Reshape", [name, shape], [rows])]


def _joined(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[:2], shape[2] * shape[3]) if len(shape) == 4 else (-1,)
