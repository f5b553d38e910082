"""The Linears of an exported graph: products with a constant matrix, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from neon_edge.types import Float32

_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16)
_SMALLEST = 32
"""Below so many inputs or outputs there is nothing to gain, and 4 bits have no group."""


@dataclass(frozen=True)
class Linear:
    """One product: `source` (…, inputs) times `weight`, stored (inputs, outputs) or transposed."""

    name: str
    source: str
    weight: str
    output: str
    inputs: int
    outputs: int
    transposed: bool
    dtype: int

    @property
    def weights(self) -> int:
        """Numbers in the matrix."""
        return self.inputs * self.outputs


def find_linears(model: ModelProto) -> list[Linear]:
    """Every Linear, in the order of the graph.

    A product fed by a graph input directly is left out: it turns pixels or features into tokens,
    and its error would reach everything behind it.
    """
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    fed = {value.name for value in model.graph.input}
    found = [_linear(node, stored, fed) for node in model.graph.node]
    return [linear for linear in found if linear is not None]


def _linear(node: NodeProto, stored: Mapping[str, TensorProto], fed: set[str]) -> Linear | None:
    if node.op_type not in ("MatMul", "Gemm") or node.domain or node.input[0] in fed:
        return None
    weight = stored.get(node.input[1])
    if weight is None or len(weight.dims) != 2 or weight.data_type not in _FLOATS:
        return None
    transposed = False
    if node.op_type == "Gemm":
        settings = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        plain = settings.get("alpha", 1.0) == 1.0 and settings.get("beta", 1.0) == 1.0
        if settings.get("transA", 0) or not plain:
            return None
        transposed = bool(settings.get("transB", 0))
    rows, columns = weight.dims
    inputs, outputs = (columns, rows) if transposed else (rows, columns)
    if min(inputs, outputs) < _SMALLEST:
        return None
    return Linear(
        node.name,
        node.input[0],
        weight.name,
        node.output[0],
        inputs,
        outputs,
        transposed,
        weight.data_type,
    )


def matrix_of(linear: Linear, stored: Mapping[str, TensorProto]) -> Float32:
    """The weights as (inputs, outputs) float32."""
    array: npt.NDArray[Any] = numpy_helper.to_array(stored[linear.weight])
    matrix = array.T if linear.transposed else array
    return np.array(matrix, np.float32, order="C")
