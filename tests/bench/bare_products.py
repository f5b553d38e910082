"""About the least that a plan can cost on one thread: its matrix products alone, by torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import torch
from torch import Tensor


class Bare(NamedTuple):
    """The products of some graphs, in order, and the bytes of weights that they read."""

    run: Callable[[], None]
    weight_bytes: int


def bare_products(graphs: list[Path], seed: int = 0) -> Bare:
    """All MatMul and Gemm nodes of `graphs`, on random numbers of the same shapes.

    What is one tensor in a graph is one here, so that a weight used twice is as warm the second
    time.
    """
    generator = torch.Generator().manual_seed(seed)
    pairs: list[tuple[Tensor, Tensor]] = []
    weights = 0
    for path in graphs:
        graph = onnx.shape_inference.infer_shapes(onnx.load(str(path))).graph
        shapes = {w.name: list(w.dims) for w in graph.initializer}
        weights += sum(4 * int(np.prod(shape)) for shape in shapes.values())
        for value in (*graph.input, *graph.value_info, *graph.output):
            shapes[value.name] = [d.dim_value for d in value.type.tensor_type.shape.dim]
        made: dict[str, Tensor] = {}
        for node in graph.node:
            if node.op_type not in ("MatMul", "Gemm"):
                continue
            for name in node.input[:2]:
                made.setdefault(name, torch.randn(shapes[name], generator=generator))
            left, right = (made[name] for name in node.input[:2])
            turned = {a.name for a in node.attribute if a.name.startswith("trans") and a.i}
            pairs.append(
                (left.T if "transA" in turned else left, right.T if "transB" in turned else right)
            )
    results = [left @ right for left, right in pairs]

    def run() -> None:
        for (left, right), out in zip(pairs, results, strict=True):
            torch.matmul(left, right, out=out)

    return Bare(run, weights)


def copy_of(size: int) -> Callable[[], None]:
    """One copy of so many bytes: each is read and written."""
    source = np.ones(size, np.uint8)
    target = np.zeros_like(source)
    return lambda: np.copyto(target, source)
