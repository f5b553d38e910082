"""Causal attention by blocks of queries: what no query of a block sees is not multiplied.

ONNX Runtime multiplies every query with every key and then masks. Of 256 tokens four blocks spare
it three eighths of that, of 2560 sixteen nearly a half, and scores take a sixteenth of the memory.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from onnx import NodeProto, helper

from neon_edge.build.cpu.graph import Graph
from neon_edge.types import Float32

_LEAST_ROWS = 64
_MOST_BLOCKS = 16
_NEVER = float(np.finfo(np.float32).min / 2)

Attend = Callable[[list[str], str], NodeProto]
"""(query, key, value, mask), output → the node."""


def causal_blocks(
    graph: Graph, inputs: list[str], output: str, tokens: int, attend: Attend
) -> list[NodeProto]:
    """Nodes that make `output` of (batch, tokens, …) queries, keys and values; empty: too few."""
    ends = _ends(tokens)
    if len(ends) < 2:
        return []
    query, key, value = inputs
    begins = [0, *ends[:-1]]
    rows = graph.store(f"causal.rows.{tokens}", np.subtract(ends, begins).astype(np.int64))
    queries = [f"{output}.query.{end}" for end in ends]
    made = [f"{output}.block.{end}" for end in ends]
    nodes = [helper.make_node("Split", [query, rows], queries, axis=1)]
    for begin, end, block, part in zip(begins, ends, made, queries, strict=True):
        seen = [_first(graph, name, end, tokens, f"{output}.{end}", nodes) for name in (key, value)]
        mask = graph.store(f"causal.mask.{begin}.{end}", _mask(begin, end))
        nodes.append(attend([part, *seen, mask], block))
    nodes.append(helper.make_node("Concat", made, [output], axis=1))
    return nodes


def _ends(tokens: int) -> list[int]:
    """Where blocks end: as even as can be."""
    blocks = max(1, min(_MOST_BLOCKS, tokens // _LEAST_ROWS))
    return [tokens * (block + 1) // blocks for block in range(blocks)]


def _first(
    graph: Graph, name: str, end: int, tokens: int, prefix: str, nodes: list[NodeProto]
) -> str:
    if end == tokens:
        return name
    begin, stop, axis = (
        graph.store(f"causal.at.{place}", np.array([place], np.int64)) for place in (0, end, 1)
    )
    cut = f"{prefix}.{name}"
    nodes.append(helper.make_node("Slice", [name, begin, stop, axis], [cut]))
    return cut


def _mask(begin: int, end: int) -> Float32:
    """(1, 1, end - begin, end): what a score of a query and a key before it is added to."""
    square = np.full((end - begin, end), _NEVER, np.float32)
    return np.triu(square, begin + 1)[None, None]
