"""Where smoothing costs nothing: a norm's gain, or the Linear behind a gate, takes it over.

Both are exact. x · s with x = gain · n is (gain · s) · n; with x = silu(g) · u it is
silu(g) · (u · s), and u is a Linear whose column scales become s times as large.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from neon_edge.build.importers import QuantisedLinear
from neon_edge.build.quantise.linears import Linear, find_linears
from neon_edge.build.quantise.onnx_types import largest, least_scale
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


def foldable_sources(model: ModelProto) -> set[str]:
    """Inputs of Linears whose scaling costs nothing once every Linear is quantised."""
    graph = _Graph(model)
    return {
        source
        for source, linears in graph.by_source.items()
        if len(graph.users[source]) == len(linears)
        and (graph.gain_of(source) is not None or graph.linear_of(source) is not None)
    }


class _Graph:
    """Who makes and who reads every tensor. Half-precision graphs cast in between."""

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
        """Where `source` is something times a constant of one number a channel, scale that."""
        gain = self.gain_of(source)
        if gain is None or list(gain.dims) != [len(scale)]:
            return False
        values = numpy_helper.to_array(gain)
        wider = (values.astype(np.float32) * scale).astype(values.dtype)
        gain.CopyFrom(numpy_helper.from_array(wider, gain.name))
        return True

    def into_linear(self, source: str, scale: Float32, layers: dict[str, QuantisedLinear]) -> bool:
        """Where `source` is something times a quantised Linear's output, scale its columns."""
        linear = self.linear_of(source)
        if linear is None or linear.name not in layers:
            return False
        layer = layers[linear.name]
        scales = layer.scales * scale
        if scales.min() < least_scale(linear.dtype) or scales.max() > largest(linear.dtype):
            return False
        layers[linear.name] = replace(layer, scales=scales)
        return True

    def gain_of(self, source: str) -> TensorProto | None:
        """The constant, read by nothing else, that `source` is a product with."""
        for name in self._factors(source):
            gain = self._stored.get(name)
            if gain is not None and len(gain.dims) == 1 and len(self.users[name]) == 1:
                return gain
        return None

    def linear_of(self, source: str) -> Linear | None:
        """The Linear, without a bias and read by nothing else, that `source` is a product with."""
        for name in self._factors(source):
            behind = self._uncast(name)
            linear = self._linears.get(behind)
            # A bias inside the product would have to be scaled with it.
            alone = len(self.users[name]) == 1 and len(self.users[behind]) == 1
            if linear is not None and alone and self._made[behind].op_type == "MatMul":
                return linear
        return None

    def _factors(self, source: str) -> list[str]:
        behind = self._uncast(source)
        node = self._made.get(behind)
        alone = behind == source or len(self.users[behind]) == 1
        return list(node.input) if node is not None and node.op_type == "Mul" and alone else []

    def _uncast(self, name: str) -> str:
        """What `name` is a copy of in another type."""
        node = self._made.get(name)
        return str(node.input[0]) if node is not None and node.op_type == "Cast" else name


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
