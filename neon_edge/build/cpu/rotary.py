"""Rotary embeddings as ONNX Runtime's own operator: one pass where exporters write six.

x · cos + concat(−x[h:], x[:h]) · sin  ─▶  RotaryEmbedding
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, helper

from neon_edge.build.cpu.graph import CONTRIB, Graph, setting
from neon_edge.build.quantise.onnx_types import Array


def fuse_rotations(model: ModelProto) -> int:
    """Change `model`; how many were fused.

    Of queries and keys as (batch, heads, tokens, width), decoders', or (tokens, heads, width),
    vision towers'.
    """
    graph = Graph(model)
    fused: dict[str, list[NodeProto]] = {}
    for node in graph.nodes:
        if node.op_type == "Add":
            for direct, turned in (tuple(node.input), tuple(node.input)[::-1]):
                made = _rotation(graph, node.output[0], direct, turned)
                if made:
                    fused[node.output[0]] = made
    graph.replace(fused)
    return len(fused)


def _rotation(graph: Graph, output: str, direct: str, turned: str) -> list[NodeProto]:
    """Nodes that make `output`; empty where it is no rotation."""
    kept, moved = (graph.by(name, "Mul") for name in (direct, turned))
    if kept is None or moved is None:
        return []
    near, far = graph.split(kept), graph.split(moved)
    if near is None or far is None or not _halves_turned(graph, far[0], near[0]):
        return []
    shape = graph.shape(near[0])
    tables = []
    for name in (near[1], far[1]):
        table = _table(graph.constant(name), shape)
        if table is None:
            return []
        tables.append(graph.store(f"{name}.half", table))
    offset = graph.store("rotary.offset", np.zeros(1, np.int64))
    if len(shape) == 4:
        return [_node(near[0], offset, tables, output)]
    there = graph.store("rotary.rows", np.array([1, shape[0], -1], np.int64))
    back = graph.store(f"rotary.{shape}", np.array(shape, np.int64))
    rows, rotated = f"{output}.rows", f"{output}.rotated"
    return [
        helper.make_node("Reshape", [near[0], there], [rows]),
        _node(rows, offset, tables, rotated),
        helper.make_node("Reshape", [rotated, back], [output]),
    ]


def _node(x: str, offset: str, tables: list[str], output: str) -> NodeProto:
    return helper.make_node(
        "RotaryEmbedding", [x, offset, *tables], [output], f"{output}.rotary", domain=CONTRIB
    )


def _halves_turned(graph: Graph, name: str, x: str) -> bool:
    """Whether `name` is (−second half, first half) of `x` along its last axis."""
    joined, shape = graph.by(name, "Concat"), graph.shape(x)
    if joined is None or len(shape) not in (3, 4) or len(joined.input) != 2:
        return False
    last = (-1, len(shape) - 1)
    negated = graph.by(joined.input[0], "Neg")
    if negated is None or setting(joined, "axis") not in last:
        return False
    half, width = shape[-1] // 2, shape[-1]
    second, first = (_cut(graph, each, x, last) for each in (negated.input[0], joined.input[1]))
    return width == 2 * half and second == (half, width) and first == (0, half)


def _cut(graph: Graph, name: str, x: str, last: tuple[int, int]) -> tuple[int, int] | None:
    """Where `name` begins and ends on the last axis of `x`; None where it is no such piece."""
    node = graph.by(name, "Slice")
    if node is None or node.input[0] != x or len(node.input) < 4:
        return None
    begin, end, axis, step = ([*graph.integers(each), 1][0] for each in (*node.input[1:], "")[:4])
    return (begin, min(end, graph.shape(x)[-1])) if axis in last and step == 1 else None


def _table(values: Array | None, shape: tuple[int, ...]) -> Array | None:
    """(tokens, width / 2) of a table that both halves share and all heads read."""
    tokens = shape[-2] if len(shape) == 4 else shape[0]
    wanted = (tokens, shape[-1]) if len(shape) == 4 else (tokens, 1, shape[-1])
    if values is None or values.dtype != np.float32 or values.size != tokens * shape[-1]:
        return None
    if values.shape[-len(wanted) :] != wanted:
        return None
    halves = values.reshape(tokens, 2, shape[-1] // 2)
    same = bool(np.array_equal(halves[:, 0], halves[:, 1]))
    return halves[:, 0] if same else None
