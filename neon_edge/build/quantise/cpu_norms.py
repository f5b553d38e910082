"""RMS norms as ONNX Runtime's own operator: it knows x · 1/√(mean x² + ε) only with a division.

x ─ Pow 2 ─ ReduceMean ─ Add ε ─ Sqrt ─ Reciprocal ─ Mul x ─ Mul gain  ─▶  SimplifiedLayerNorm
"""

from __future__ import annotations

from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

_CHAIN = ("Reciprocal", "Sqrt", "Add", "ReduceMean", "Pow")


def fuse_norms(model: ModelProto) -> int:
    """Change `model`; how many were fused."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    made = {name: node for node in model.graph.node for name in node.output}
    users: dict[str, int] = {value.name: 1 for value in model.graph.output}
    for node in model.graph.node:
        for name in node.input:
            users[name] = users.get(name, 0) + 1
    fused: dict[str, NodeProto] = {}
    dropped: set[str] = set()
    for node in model.graph.node:
        found = _norm(node, made, stored, users)
        if found is not None:
            norm, inner = found
            fused[node.output[0]] = norm
            dropped.update(inner)
    nodes = [
        fused.get(node.output[0], node)
        for node in model.graph.node
        if node.output[0] not in dropped
    ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return len(fused)


def _norm(
    node: NodeProto,
    made: dict[str, NodeProto],
    stored: dict[str, TensorProto],
    users: dict[str, int],
) -> tuple[NodeProto, list[str]] | None:
    """The fused node, and the tensors that vanish with it; None where `node` is no norm's gain."""
    if node.op_type != "Mul":
        return None
    gains = [name for name in node.input if name in stored and len(stored[name].dims) == 1]
    inner = [name for name in node.input if name not in gains]
    if len(gains) != 1 or len(inner) != 1:
        return None
    scaled = made.get(inner[0])
    if scaled is None or scaled.op_type != "Mul":
        return None
    for root, x in (tuple(scaled.input), tuple(scaled.input)[::-1]):
        chain = _chain(root, made)
        if chain is None or chain[-1].input[0] != x:
            continue
        epsilon = _constant(chain[2], stored)
        power = stored.get(chain[-1].input[1])
        gone = [inner[0], *(step.output[0] for step in chain)]
        plain = epsilon is not None and power is not None and numpy_helper.to_array(power) == 2
        if not plain or any(users[name] > 1 for name in gone):
            return None
        norm = helper.make_node(
            "SimplifiedLayerNormalization",
            [x, gains[0]],
            [node.output[0]],
            node.name,
            axis=-1,
            epsilon=epsilon,
            stash_type=1,
        )
        return norm, gone
    return None


def _chain(name: str, made: dict[str, NodeProto]) -> list[NodeProto] | None:
    chain: list[NodeProto] = []
    for op in _CHAIN:
        node = made.get(name)
        if node is None or node.op_type != op:
            return None
        chain.append(node)
        name = next((n for n in node.input if n in made), node.input[0])
    return chain


def _constant(node: NodeProto, stored: dict[str, TensorProto]) -> float | None:
    for name in node.input:
        if name in stored and numpy_helper.to_array(stored[name]).size == 1:
            return float(numpy_helper.to_array(stored[name]).reshape(-1)[0])
    return None
