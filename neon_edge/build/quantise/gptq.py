"""GPTQ: quantise a matrix one input at a time, and let the inputs not yet done repay the error.

Frantar et al., "GPTQ" (arXiv 2210.17323), with the groups' scales fixed ahead from the float matrix
(so that inputs may be visited in any order and the engine needs no permutation), and each scale
chosen by a search over clips.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from neon_edge.build.importers import QuantisedLinear
from neon_edge.types import Float32

_BLOCK = 128
_TINY = 1e-8


@dataclass(frozen=True)
class GptqSettings:
    """How hard to try."""

    damping: float = 0.01
    """Added to the Hessian's diagonal, in parts of its mean."""
    clips: int = 20
    """Scales tried a group, from its largest magnitude down to half of it; 1 is no search."""


def gptq(matrix: Float32, hessian: Tensor, group: int, settings: GptqSettings) -> QuantisedLinear:
    """(inputs, outputs) and the second moment of its inputs (inputs, inputs) → 4-bit groups."""
    weight = torch.from_numpy(matrix)
    importance = hessian.diagonal().clone()
    scales = group_scales(weight, importance, group, settings.clips)
    codes = _visit(weight, hessian, scales, group, settings.damping)
    return QuantisedLinear(
        bits=4, codes=codes.to(torch.int8).numpy(), scales=scales.numpy().astype(np.float32)
    )


def group_scales(weight: Tensor, importance: Tensor, group: int, clips: int) -> Tensor:
    """(groups, outputs): the scale of least weighted square error among `clips` for each."""
    blocks = weight.reshape(-1, group, weight.shape[1])
    weights = importance.reshape(-1, group, 1)
    top = blocks.abs().amax(dim=1) / 7
    best = top.clamp_min(_TINY)
    least = torch.full_like(best, torch.inf)
    for step in range(clips):
        # From a little above (the code -8 is there to be used) down to half the range.
        factor = 1.0 if clips == 1 else 1.0 - 0.5 * step / (clips - 1)
        trial = (top * factor).clamp_min(_TINY)
        rounded = (blocks / trial[:, None]).round_().clamp_(-8, 7) * trial[:, None]
        error = ((rounded - blocks).square_() * weights).sum(dim=1)
        better = error < least
        best = torch.where(better, trial, best)
        least = torch.where(better, error, least)
    return best


def _visit(weight: Tensor, hessian: Tensor, scales: Tensor, group: int, damping: float) -> Tensor:
    """Codes, inputs visited from the most to the least important."""
    order = torch.argsort(hessian.diagonal(), descending=True)
    back = torch.argsort(order)
    upper = _inverse_root(hessian[order][:, order], damping)
    rest = weight[order].clone()
    steps = scales[order // group]
    codes = torch.empty_like(rest)
    for first in range(0, len(rest), _BLOCK):
        last = min(first + _BLOCK, len(rest))
        errors = torch.empty_like(rest[first:last])
        for row in range(first, last):
            codes[row] = (rest[row] / steps[row]).round_().clamp_(-8, 7)
            error = (rest[row] - codes[row] * steps[row]) / upper[row, row]
            if row + 1 < last:
                rest[row + 1 : last] -= upper[row, row + 1 : last, None] * error
            errors[row - first] = error
        rest[last:] -= upper[first:last, last:].T @ errors
    return codes[back]


def _inverse_root(hessian: Tensor, damping: float) -> Tensor:
    """Upper Cholesky factor of the inverse. Inputs that are always zero cost nothing."""
    size = len(hessian)
    dead = hessian.diagonal() == 0
    mean = hessian.diagonal().mean().clamp_min(1e-12)
    for attempt in range(6):
        damped = hessian.clone()
        damped.diagonal()[dead] = mean
        damped.diagonal().add_(mean * damping * 10**attempt)
        factor, failed = torch.linalg.cholesky_ex(damped)
        if int(failed) == 0:
            inverse = torch.cholesky_inverse(factor)
            found = torch.linalg.cholesky_ex(inverse, upper=True)
            if int(found.info) == 0:
                upper: Tensor = found.L
                return upper
    raise RuntimeError(f"a Hessian of {size} inputs has no Cholesky factor, however damped")
