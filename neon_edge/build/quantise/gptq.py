"""GPTQ: quantise a matrix one input at a time, and let the inputs not yet done repay the error.

Frantar et al., "GPTQ" (arXiv 2210.17323), with the groups' scales fixed ahead from the float matrix
(so that inputs may be visited in any order and the engine needs no permutation), and each scale
chosen by a search over clips.

Written as LDLQ, which Chee et al., "QuIP" (arXiv 2307.13304, theorem 6) show to be the same: one
Cholesky factor of the Hessian itself, where GPTQ inverts it and factors the inverse. A third of the
work at 11008 inputs, and nothing is lost to an inverse.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from neon_edge.build.importers import QuantisedLinear
from neon_edge.build.quantise.round import LEAST
from neon_edge.types import Float32

_BLOCK = 128
_COLUMNS = 1024


@dataclass(frozen=True)
class GptqSettings:
    """How hard to try."""

    damping: float = 0.01
    """Added to the Hessian's diagonal, in parts of its mean."""
    clips: int = 20
    """Scales tried a group, from its largest magnitude down to half of it; 1 is no search."""
    least: float = LEAST
    """The smallest scale that the graph's type holds."""


@dataclass(frozen=True)
class Moment:
    """The second moment of one input, made ready once for all the matrices behind it.

    order (inputs,) from the least to the most important · factor (inputs, inputs) unit lower
    triangular, in that order · importance (inputs,) in the matrix's own order.
    """

    order: Tensor
    factor: Tensor
    importance: Tensor


def prepared(hessian: Tensor, settings: GptqSettings) -> Moment:
    """Factor a second moment (inputs, inputs). Inputs that are always zero cost nothing.

    Raises `RuntimeError` where no damping makes it positive definite.
    """
    importance = hessian.diagonal().clone()
    order = torch.argsort(importance)
    dead = importance[order] == 0
    mean = importance.mean().clamp_min(1e-12)
    for attempt in range(6):
        damped = hessian[order[:, None], order]
        damped.diagonal()[dead] = mean
        damped.diagonal().add_(mean * settings.damping * 10**attempt)
        factor, failed = torch.linalg.cholesky_ex(damped)
        if int(failed) == 0:
            return Moment(order, factor.div_(factor.diagonal().clone()), importance)
    raise RuntimeError(f"a Hessian of {len(hessian)} inputs has no Cholesky factor, however damped")


def gptq(matrix: Float32, moment: Moment, group: int, settings: GptqSettings) -> QuantisedLinear:
    """(inputs, outputs) and the second moment of its inputs → 4-bit groups."""
    weight = torch.from_numpy(matrix)
    scales = group_scales(weight, moment.importance, group, settings)
    codes = _visit(weight, moment, scales, group)
    return QuantisedLinear(bits=4, codes=codes.numpy(), scales=scales.numpy().astype(np.float32))


def clipped(
    matrix: Float32, importance: Tensor, group: int, settings: GptqSettings
) -> QuantisedLinear:
    """Rounded to nearest, with the same search over clips; nothing repays anything."""
    weight = torch.from_numpy(matrix)
    scales = group_scales(weight, importance, group, settings)
    codes = (weight / scales.repeat_interleave(group, dim=0)).round_().clamp_(-8, 7)
    return QuantisedLinear(bits=4, codes=codes.to(torch.int8).numpy(), scales=scales.numpy())


def group_scales(weight: Tensor, importance: Tensor, group: int, settings: GptqSettings) -> Tensor:
    """(groups, outputs): the scale of least weighted square error among the clips for each."""
    found = torch.empty(len(weight) // group, weight.shape[1])
    # A group and a few columns at a time: all trials of one stay in the cache.
    with _one_thread():
        for number in range(len(found)):
            rows = slice(number * group, (number + 1) * group)
            for first in range(0, weight.shape[1], _COLUMNS):
                columns = slice(first, first + _COLUMNS)
                found[number, columns] = _group_scale(
                    weight[rows, columns], importance[rows], settings
                )
    return found


@contextmanager
def _one_thread() -> Iterator[None]:
    """For operations of microseconds: a second thread costs more than it carries, and on a busy
    machine the two wait for each other (six times slower, measured)."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _group_scale(block: Tensor, importance: Tensor, settings: GptqSettings) -> Tensor:
    """(outputs,) of a block (inputs, outputs); 1 where all its weights are 0."""
    top, clips = block.abs().amax(dim=0) / 7, settings.clips
    best = top.clamp_min(settings.least)
    least = torch.full_like(best, torch.inf)
    rounded = torch.empty_like(block)
    for step in range(clips):
        # From a little above (the code -8 is there to be used) down to half the range.
        factor = 1.0 if clips == 1 else 1.0 - 0.5 * step / (clips - 1)
        trial = (top * factor).clamp_min(settings.least)
        torch.div(block, trial, out=rounded).round_().clamp_(-8, 7).mul_(trial).sub_(block)
        error = importance @ rounded.square_()
        better = error < least
        best = torch.where(better, trial, best)
        least = torch.where(better, error, least)
    return torch.where(top == 0, 1.0, best)


def _visit(weight: Tensor, moment: Moment, scales: Tensor, group: int) -> Tensor:
    """Codes (inputs, outputs) int8, inputs visited from the most to the least important."""
    order, factor = moment.order, moment.factor
    exact = weight[order]
    lost = torch.empty_like(exact)
    codes = torch.empty(exact.shape, dtype=torch.int8)
    for last in range(len(exact), 0, -_BLOCK):
        first = max(last - _BLOCK, 0)
        wanted = torch.addmm(exact[first:last], factor[last:, first:last].T, lost[last:])
        columns = factor[first:last, first:last].T.contiguous()
        with _one_thread():
            for row in range(last - 1, first - 1, -1):
                shares = columns[row - first, row - first + 1 :]
                target = torch.addmv(wanted[row - first], lost[row + 1 : last].T, shares)
                step = scales[order[row] // group]
                code = target.div_(step).round_().clamp_(-8, 7)
                codes[row] = code
                torch.sub(exact[row], code.mul_(step), out=lost[row])
    placed = torch.empty_like(codes)
    placed[order] = codes
    return placed
