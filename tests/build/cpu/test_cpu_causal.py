"""Blocks of queries: they cover all tokens, evenly, and see what a causal mask lets them see."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from onnx import NodeProto, helper, numpy_helper

from neon_edge.build.cpu.causal import causal_blocks
from neon_edge.build.cpu.graph import Graph


def made(tokens: int) -> tuple[list[NodeProto], dict[str, np.ndarray]]:
    graph = helper.make_graph([], "none", [], [], [])
    model = helper.make_model(graph)
    nodes = causal_blocks(Graph(model), ["q", "k", "v"], "out", tokens, attend)
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    return nodes, stored


def attend(inputs: list[str], output: str) -> NodeProto:
    return helper.make_node("Attention", inputs, [output])


@given(st.integers(128, 4000))
def test_every_query_sees_itself_and_what_is_before_it(tokens: int) -> None:
    nodes, stored = made(tokens)
    rows = stored[nodes[0].input[1]]
    assert rows.sum() == tokens and rows.max() - rows.min() <= 1 and len(rows) <= 16
    begin = 0
    attended = [node for node in nodes if node.op_type == "Attention"]
    for count, node in zip(rows, attended, strict=True):
        mask = stored[node.input[3]]
        end = begin + count
        seen = np.arange(end)[None] <= np.arange(begin, end)[:, None]
        assert mask.dtype == np.float32 and mask.shape == (1, 1, count, end)
        assert (mask[0, 0][seen] == 0).all() and (mask[0, 0][~seen] < -1e30).all()
        begin = end
    assert nodes[-1].op_type == "Concat" and list(nodes[-1].output) == ["out"]


@given(st.integers(1, 127))
def test_few_tokens_are_one_block(tokens: int) -> None:
    assert made(tokens)[0] == []


def test_the_last_block_reads_all_keys_uncut() -> None:
    nodes, _ = made(512)
    last = [node for node in nodes if node.op_type == "Attention"][-1]
    assert list(last.input[1:3]) == ["k", "v"]
