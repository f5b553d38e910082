"""Where smoothing costs nothing: a norm's gain, or the Linear behind a gate, takes it over.

Both are exact. x · s with x = gain · n is (gain · s) · n; with x = silu(g) · u it is
silu(g) · (u · s), and u is a Linear whose column scales become s times as large.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper

from neon_edge.build.importers import QuantisedLinear
from neon_edge.build.quantise.linears import Linear, find_linears
from neon_edge.types import Float32


def fold_scales(
    model: ModelProto, layers: Mapping[str, QuantisedLinear]
) -> dict[str, QuantisedLinear]:
    """Layers with as few `input_scale` left as can be; gains of `model` are changed in place."""
    graph = _Graph(model)
    folded = dict(layers)
    for source, linears in graph.by_source.items():
        scale = _shared_scale(linears, folded, graph.users[source])
        if scale is None:
            continue
        if graph.into_gain(source, scale) or graph.into_linear(source, scale, folded):
            for linear in linears:
                folded[linear.name] = replace(folded[linear.name], input_scale=None)
    return folded


class _Graph:
    """Who makes and who reads every tensor."""

    def __init__(self, model: ModelProto) -> None:
        self._stored = {tensor.name: tensor for tensor in model.graph.initializer}
        self._made = {name: node for node in model.graph.node for name in node.output}
        self._linears = {linear.output: linear for linear in find_linears(model)}
        self.users: dict[str, list[NodeProto]] = {}
        for node in model.graph.node:
            for name in node.input:
                self.users.setdefault(name, []).append(node)
        for value in model.graph.output:
            self.users.setdefault(value.name, []).append(NodeProto(op_type="output"))
        self.by_source: dict[str, list[Linear]] = {}
        for linear in self._linears.values():
            self.by_source.setdefault(linear.source, []).append(linear)

    def into_gain(self, source: str, scale: Float32) -> bool:
        """`source` is something times a constant of one number a channel."""
        node = self._made.get(source)
        if node is None or node.op_type != "Mul":
            return False
        for name in node.input:
            gain = self._stored.get(name)
            if gain is None or list(gain.dims) != [len(scale)] or len(self.users[name]) > 1:
                continue
            values = numpy_helper.to_array(gain)
            wider = (values.astype(np.float32) * scale).astype(values.dtype)
            gain.CopyFrom(numpy_helper.from_array(wider, name))
            return True
        return False

    def into_linear(self, source: str, scale: Float32, layers: dict[str, QuantisedLinear]) -> bool:
        """`source` is something times a quantised Linear's output, which nothing else reads."""
        node = self._made.get(source)
        if node is None or node.op_type != "Mul":
            return False
        for name in node.input:
            linear = self._linears.get(name)
            if linear is None or linear.name not in layers or len(self.users[name]) > 1:
                continue
            # A bias inside the product would have to be scaled with it.
            if self._made[name].op_type != "MatMul":
                continue
            layer = layers[linear.name]
            layers[linear.name] = replace(layer, scales=layer.scales * scale)
            return True
        return False


def _shared_scale(
    linears: list[Linear], layers: Mapping[str, QuantisedLinear], users: list[NodeProto]
) -> Float32 | None:
    """The one factor that everything reading this tensor multiplies it by, if that is so."""
    if len(users) != len(linears) or any(linear.name not in layers for linear in linears):
        return None
    scales = [layers[linear.name].input_scale for linear in linears]
    first = scales[0]
    if first is None or any(scale is None or (scale != first).any() for scale in scales):
        return None
    return first
