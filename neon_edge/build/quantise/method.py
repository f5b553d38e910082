"""How the Linears behind one input are quantised: INT8 by search, INT4 by GPTQ, AWQ or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from neon_edge.build.importers import QuantisedLinear, dequantised
from neon_edge.build.quantise.awq import search_scales
from neon_edge.build.quantise.gptq import GptqSettings, clipped, gptq, prepared
from neon_edge.build.quantise.linears import Linear
from neon_edge.build.quantise.observers import observed
from neon_edge.build.quantise.round import GROUPS, LEAST, group_for, round_groups
from neon_edge.build.quantise.smooth import quantise_int8, ranged, search
from neon_edge.build.quantise.tokens import spread_rows
from neon_edge.types import Float32

Bits = Literal["int8", "int4"]
Rounding = Literal["gptq", "awq", "awq+gptq", "nearest"]
Ranges = Literal["search", "max", "percentile", "entropy"]
Made = list[tuple[QuantisedLinear, dict[str, float]]]

_CHUNK = 4096
_JUDGED = 512
"""Tokens: enough to rank layers by what they lose."""
_TINY = 1e-30


@dataclass(frozen=True)
class Method:
    """What may differ within a format. Part of the key under which layers are kept."""

    int8: tuple[str, ...] = ()
    """Linears that are W8A8 although the rest is INT4."""
    rounding: Rounding = "gptq"
    """Of 4 bits; "nearest" is the yardstick."""
    ranges: Ranges = "search"
    """Of 8-bit activations."""

    def bits_of(self, linear: Linear, wanted: Bits) -> Bits:
        """INT4 needs groups: an input width that no group divides is W8A8 instead.

        Qwen2.5's vision tower is 3420 wide. It sees all patches at once and is bound by arithmetic,
        where W8A8 is the faster format anyway.
        """
        grouped = any(linear.inputs % group == 0 for group in GROUPS)
        return "int4" if wanted == "int4" and grouped and linear.name not in self.int8 else "int8"


def make_int8(
    samples: Sequence[Float32],
    rows: Float32,
    matrices: Sequence[Float32],
    method: Method,
    least: float = LEAST,
) -> Made:
    """W8A8 of all `matrices` (inputs, outputs), on `rows` drawn from all tokens of `samples`.

    `least` is the smallest scale that the graph's type holds.
    """
    reach = np.max([np.abs(sample).max(axis=0) for sample in samples], axis=0)
    if method.ranges == "search":
        best = search(rows, reach, matrices, least)
    else:
        end = observed(samples, method.ranges)
        best = ranged(rows, reach, matrices, end, least)
    figures = {"error": best.error, "alpha": best.alpha, "clip": best.clip}
    return [(quantise_int8(matrix, best, least), figures) for matrix in matrices]


def make_int4(
    samples: Sequence[Float32],
    matrices: Sequence[Float32],
    method: Method,
    *,
    foldable: bool,
    least: float = LEAST,
) -> Made:
    """Groups of 4 bits, one Hessian for all `matrices` (inputs, outputs).

    `foldable` says that a scaling of these inputs would cost nothing; `least` is the smallest scale
    that the graph's type holds.
    """
    group = group_for(len(matrices[0]))
    rows = spread_rows(samples, _JUDGED)
    factors, alpha = None, 0.0
    if foldable and method.rounding in ("awq", "awq+gptq"):
        factors, alpha = search_scales(samples, rows, matrices, group)
    scaled = [m if factors is None else m * factors[:, None] for m in matrices]
    layers = _rounded(samples, scaled, factors, group, method.rounding, GptqSettings(least=least))
    if factors is not None:
        layers = [replace(layer, input_scale=np.float32(1) / factors) for layer in layers]
    return [
        (layer, {"error": relative(matrix, layer, rows), "alpha": alpha})
        for matrix, layer in zip(matrices, layers, strict=True)
    ]


def _rounded(
    samples: Sequence[Float32],
    matrices: Sequence[Float32],
    factors: Float32 | None,
    group: int,
    rounding: Rounding,
    settings: GptqSettings,
) -> list[QuantisedLinear]:
    """Groups of 4 bits of `matrices`, whose inputs are those of `samples` divided by `factors`."""
    if rounding == "nearest":
        return [round_groups(matrix, group, least=settings.least) for matrix in matrices]
    if rounding == "awq":
        square = np.mean([np.square(sample).mean(axis=0) for sample in samples], axis=0)
        weight = torch.from_numpy(square if factors is None else square / factors**2)
        return [clipped(matrix, weight, group, settings) for matrix in matrices]
    hessian = second_moment(samples)
    if factors is not None:
        shrunk = torch.from_numpy(factors).reciprocal()
        hessian.mul_(shrunk).mul_(shrunk[:, None])
    moment = prepared(hessian, settings)
    return [gptq(matrix, moment, group, settings) for matrix in matrices]


def second_moment(samples: Sequence[Float32]) -> torch.Tensor:
    """Mean of xᵀx over all tokens, (inputs, inputs), a few thousand tokens at a time."""
    width = samples[0].shape[1]
    total = torch.zeros(width, width)
    count = 0
    for sample in samples:
        for first in range(0, len(sample), _CHUNK):
            rows = torch.from_numpy(np.ascontiguousarray(sample[first : first + _CHUNK]))
            total.addmm_(rows.T, rows)
            count += len(rows)
    return total.div_(count)


def relative(matrix: Float32, layer: QuantisedLinear, rows: Float32) -> float:
    """Squared error of the products of `rows` (n, inputs) over their square."""
    x, exact = torch.from_numpy(rows), torch.from_numpy(matrix)
    lost = exact - torch.from_numpy(dequantised(layer))
    return float((x @ lost).square_().sum() / (x @ exact).square_().sum().clamp_min(_TINY))
