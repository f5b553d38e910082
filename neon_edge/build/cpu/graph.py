"""A graph looked at from a tensor backwards, as those who replace chains of it need it."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from neon_edge.build.quantise.onnx_types import Array

CONTRIB = "com.microsoft"
"""The domain of ONNX Runtime's own operators."""


class Graph:
    """Who made a tensor, who reads it, its shape, and which are constants."""

    def __init__(self, model: ModelProto) -> None:
        self._model = model
        self._stored = {tensor.name: tensor for tensor in model.graph.initializer}
        self._look()

    @property
    def nodes(self) -> list[NodeProto]:
        """In the order in which they run."""
        return list(self._model.graph.node)

    def by(self, name: str, op: str) -> NodeProto | None:
        """The node that made `name`, where it is an `op`."""
        node = self._made.get(name)
        return node if node is not None and node.op_type == op else None

    def reader(self, name: str, op: str) -> NodeProto | None:
        """The one node that reads `name`, where it is an `op` and nobody else does."""
        readers = self._readers.get(name, [])
        alone = len(readers) == 1 and name not in self._outputs
        return readers[0] if alone and readers[0].op_type == op else None

    def split(self, node: NodeProto) -> tuple[str, str] | None:
        """Of an addition or product of two: what was computed, and the constant beside it."""
        first, second = node.input
        if self.constant(second) is not None:
            return first, second
        return (second, first) if self.constant(first) is not None else None

    def constant(self, name: str) -> Array | None:
        """The value of `name` where it is stored, whatever axes of one were put into it."""
        if name in self._stored:
            return np.asarray(numpy_helper.to_array(self._stored[name]))
        node = self.by(name, "Unsqueeze")
        if node is None:
            return None
        value, axes = self.constant(node.input[0]), self.constant(node.input[1])
        if value is None or axes is None:
            return None
        return np.expand_dims(value, tuple(axes.reshape(-1).tolist()))

    def integers(self, name: str) -> list[int]:
        """The constant `name` as a list; empty where it is none."""
        value = self.constant(name)
        return [] if value is None else [int(each) for each in value.reshape(-1)]

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a float32 tensor; empty where it is of another type or not known."""
        value = self._values.get(name)
        if value is None or value.type.tensor_type.elem_type != TensorProto.FLOAT:
            return ()
        return tuple(size.dim_value for size in value.type.tensor_type.shape.dim)

    def store(self, name: str, value: Array) -> str:
        """Keep a constant under `name`, once."""
        if name not in self._stored:
            tensor = numpy_helper.from_array(np.ascontiguousarray(value), name)
            self._model.graph.initializer.append(tensor)
            self._stored[name] = self._model.graph.initializer[-1]
        return name

    def replace(self, fused: dict[str, list[NodeProto]]) -> None:
        """Put nodes in the place of the one that made each key; what nobody reads then goes."""
        nodes: list[NodeProto] = []
        for node in self._model.graph.node:
            nodes.extend(fused.get(node.output[0], [node]))
        alive = self._alive(nodes)
        del self._model.graph.node[:]
        self._model.graph.node.extend(alive)
        self._look()

    def _alive(self, nodes: list[NodeProto]) -> list[NodeProto]:
        needed, kept = set(self._outputs), []
        for node in reversed(nodes):
            if needed.intersection(node.output):
                needed.update(node.input)
                kept.append(node)
        return kept[::-1]

    def _look(self) -> None:
        graph = self._model.graph
        self._outputs = {value.name for value in graph.output}
        self._made = {name: node for node in graph.node for name in node.output}
        self._readers: dict[str, list[NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)
        values = (*graph.value_info, *graph.input, *graph.output)
        self._values: dict[str, ValueInfoProto] = {value.name: value for value in values}


def setting(node: NodeProto, name: str) -> Any:
    """An attribute; None where `node` has none of that name."""
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), None)
