"""AWQ: channels that carry much are made larger before they are rounded, and their input smaller.

Lin et al., "AWQ" (arXiv 2306.00978): s = mean|x|^α, α of a grid, judged by the products after
rounding to nearest. Only where the factors vanish into what makes x (see `fold`): a product more
would cost the time that 4 bits are to save.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from neon_edge.types import Float32

ALPHAS = tuple(step / 10 for step in range(11))
"""0 is no scaling at all."""

_TINY = 1e-6
_TOP = 7


def search_scales(
    samples: Sequence[Float32], rows: Float32, matrices: Sequence[Float32], group: int
) -> tuple[Float32 | None, float]:
    """Factors (inputs,) for the rows of all `matrices` (inputs, outputs), and their α.

    None where leaving them alone is best. `rows` (n, inputs) are what trials are judged on.
    """
    tokens = sum(len(sample) for sample in samples)
    loudness = sum(np.abs(sample).sum(axis=0) for sample in samples) / tokens
    x = torch.from_numpy(rows)
    weights = [torch.from_numpy(matrix) for matrix in matrices]
    trials = []
    for alpha in ALPHAS:
        factors = torch.from_numpy(_factors(loudness, alpha))
        lost = sum(float((x @ _lost(w, factors, group)).square_().sum()) for w in weights)
        trials.append((lost, alpha, factors))
    _, alpha, factors = min(trials, key=lambda trial: trial[0])
    return (None if alpha == 0 else factors.numpy()), alpha


def _factors(loudness: Float32, alpha: float) -> Float32:
    """Around one, so that scales keep their order of magnitude."""
    factors = np.maximum(loudness, _TINY) ** np.float32(alpha)
    factors = factors / np.sqrt(factors.max() * factors.min())
    within: Float32 = np.clip(factors, 1e-3, 1e3).astype(np.float32)
    return within


def _lost(weight: torch.Tensor, factors: torch.Tensor, group: int) -> torch.Tensor:
    blocks = (weight * factors[:, None]).reshape(-1, group, weight.shape[1])
    steps = (blocks.abs().amax(dim=1, keepdim=True) / _TOP).clamp_min_(_TINY**2)
    rounded = (blocks / steps).round_().clamp_(-_TOP - 1, _TOP).mul_(steps)
    return rounded.reshape(weight.shape).div_(factors[:, None]).sub_(weight)
