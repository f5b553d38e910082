"""Write quantised Linears into a graph as explicit Q/DQ, in the form TensorRT takes.

    W8A8    x ─ Q ─ DQ ─┐                          INT4    x ────┐
            W ───── DQ ─┴─ MatMul [─ Add bias]             W ─ DQ ┴─ MatMul [─ Add bias]

TensorRT refuses zero points, so an asymmetric matrix (q - z)·s is q·s, which it takes, and an
exact rest: the sums of x over each group, times -z·s. One of a hundred products more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from neon_edge.build.importers import QuantisedLinear
from neon_edge.build.onnx_file import raise_opset
from neon_edge.build.quantise.fold import fold_scales
from neon_edge.build.quantise.linears import Linear, find_linears
from neon_edge.build.quantise.onnx_types import float_tensor, int4_tensor
from neon_edge.errors import ConfigWrong

OPSET = 21
"""The first with blocks and 4 bits in DequantizeLinear."""


def place(model: ModelProto, layers: Mapping[str, QuantisedLinear]) -> ModelProto:
    """A graph with the Linears named in `layers` quantised, the rest as it was.

    Changes `model` and returns it. Raises `ConfigWrong` for a layer that it does not have.
    """
    linears = {linear.name: linear for linear in find_linears(model)}
    unknown = sorted(set(layers) - set(linears))
    if unknown:
        raise ConfigWrong(
            f"the graph has no Linear {unknown[0]!r}",
            f"{len(unknown)} of {len(layers)} layers are not in it",
            "quantise the graph that these layers were made from",
        )
    layers = fold_scales(model, layers)
    writer = _Writer(model)
    for node in list(model.graph.node):
        linear = linears.get(node.name)
        if linear is not None and linear.name in layers and node.output[0] == linear.output:
            writer.linear(node, linear, layers[linear.name])
        else:
            writer.nodes.append(node)
    writer.finish()
    return model


class _Writer:
    """Nodes and initialisers of the new graph, each shared thing written once."""

    def __init__(self, model: ModelProto) -> None:
        self.nodes: list[NodeProto] = []
        self._model = model
        self._made: list[TensorProto] = []
        self._shared: dict[tuple[Any, ...], str] = {}
        self._ranks = {
            value.name: len(value.type.tensor_type.shape.dim)
            for value in (*model.graph.value_info, *model.graph.input)
        }

    def linear(self, node: NodeProto, linear: Linear, layer: QuantisedLinear) -> None:
        """In place of `node`: its prepared input, its matrix, the product and the bias."""
        source = self._prepared(linear, layer)
        weight = self._weight(linear, layer)
        bias = node.input[2] if len(node.input) > 2 and node.input[2] else ""
        rest = self._rest(linear, layer, source) if layer.zeros is not None else ""
        # Named by what it is and not by its matrix, so that reports find it again.
        terms = [self._node("MatMul", [source, weight], linear.name, name=linear.name)]
        terms += [term for term in (rest, bias) if term]
        total = terms[0]
        for number, term in enumerate(terms[1:], start=1):
            total = self._node("Add", [total, term], f"{linear.name}.sum{number}")
        self.nodes[-1].output[0] = linear.output

    def finish(self) -> None:
        """Put it all into the model, without matrices that nothing uses any more."""
        graph = self._model.graph
        del graph.node[:]
        graph.node.extend(self.nodes)
        graph.initializer.extend(self._made)
        used = {name for node in graph.node for name in node.input}
        # A part whose layers belong to no group hands constant sums on.
        used |= {value.name for value in graph.output}
        kept = [tensor for tensor in graph.initializer if tensor.name in used]
        del graph.initializer[:]
        graph.initializer.extend(kept)
        raise_opset(self._model, OPSET)

    def _prepared(self, linear: Linear, layer: QuantisedLinear) -> str:
        source = linear.source
        if layer.input_scale is not None:
            source = self._scaled(source, layer, linear)
        if layer.order is not None:
            key = ("order", source, layer.order.tobytes())
            if key not in self._shared:
                order = self._keep(numpy_helper.from_array(layer.order, f"{linear.name}.order"))
                self._shared[key] = self._node("Gather", [source, order], f"{source}.o", axis=-1)
            source = self._shared[key]
        if layer.activation_scale is not None:
            source = self._rounded(source, layer.activation_scale, linear)
        return source

    def _scaled(self, source: str, layer: QuantisedLinear, linear: Linear) -> str:
        assert layer.input_scale is not None
        key = ("scale", source, layer.input_scale.tobytes())
        if key not in self._shared:
            factor = float_tensor(f"{linear.name}.input_scale", layer.input_scale, linear.dtype)
            name = f"{linear.name}.scaled"
            self._shared[key] = self._node("Mul", [source, self._keep(factor)], name)
        return self._shared[key]

    def _rounded(self, source: str, scale: float, linear: Linear) -> str:
        key = ("rounded", source, scale)
        if key not in self._shared:
            value = np.asarray(scale, np.float32)
            step = self._keep(float_tensor(f"{linear.name}.x_scale", value, linear.dtype))
            zero = numpy_helper.from_array(np.zeros((), np.int8), f"{linear.name}.x_zero")
            zero_name = self._keep(zero)
            codes = self._node("QuantizeLinear", [source, step, zero_name], f"{linear.name}.xq")
            self._shared[key] = self._node(
                "DequantizeLinear", [codes, step, zero_name], f"{linear.name}.xdq"
            )
        return self._shared[key]

    def _weight(self, linear: Linear, layer: QuantisedLinear) -> str:
        name = f"{linear.name}.codes"
        if layer.bits == 4:
            codes = self._keep(int4_tensor(name, layer.codes))
        else:
            codes = self._keep(numpy_helper.from_array(layer.codes, name))
        whole = len(layer.scales) == 1
        scales = layer.scales[0] if whole else layer.scales
        step = self._keep(float_tensor(f"{linear.name}.scales", scales, linear.dtype))
        shape: dict[str, Any] = {"axis": 1} if whole else {"axis": 0, "block_size": layer.group}
        return self._node("DequantizeLinear", [codes, step], f"{linear.name}.w", **shape)

    def _rest(self, linear: Linear, layer: QuantisedLinear, source: str) -> str:
        assert layer.zeros is not None
        sums = self._group_sums(source, linear, layer)
        side = -layer.zeros.astype(np.float32) * layer.scales.astype(np.float32)
        matrix = self._keep(float_tensor(f"{linear.name}.rest", side, TensorProto.FLOAT))
        product = self._node("MatMul", [sums, matrix], f"{linear.name}.rest_product")
        return self._cast(product, TensorProto.FLOAT, linear.dtype, f"{linear.name}.rest_cast")

    def _group_sums(self, source: str, linear: Linear, layer: QuantisedLinear) -> str:
        """Sums over each group, in float32: a sum of 128 halves would lose what is exact here."""
        groups = len(layer.scales)
        key = ("sums", source, groups)
        if key not in self._shared:
            wide = self._cast(source, linear.dtype, TensorProto.FLOAT, f"{linear.name}.wide")
            # A zero copies the size that is there; only the last axis is cut into groups.
            split = np.array([0] * (self._ranks[linear.source] - 1) + [groups, layer.group])
            target = self._keep(numpy_helper.from_array(split, f"{linear.name}.split"))
            axis = self._keep(numpy_helper.from_array(np.array([-1]), f"{linear.name}.last"))
            apart = self._node("Reshape", [wide, target], f"{linear.name}.groups")
            self._shared[key] = self._node(
                "ReduceSum", [apart, axis], f"{linear.name}.sums", keepdims=0
            )
        return self._shared[key]

    def _cast(self, source: str, dtype: int, to: int, name: str) -> str:
        return source if to == dtype else self._node("Cast", [source], name, to=to)

    def _keep(self, tensor: TensorProto) -> str:
        self._made.append(tensor)
        return str(tensor.name)

    def _node(
        self, op: str, inputs: list[str], output: str, name: str = "", **settings: Any
    ) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name or output, **settings))
        return output
