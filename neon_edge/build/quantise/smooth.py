"""W8A8: how far activations reach, and how much of their reach the weights take over.

SmoothQuant (Xiao et al., arXiv 2211.10438) divides input channel j of x by s_j = max|x_j|^α /
max|w_j|^(1-α) and multiplies row j of W by it. α and the clip of the range are searched together,
for every input of the graph by itself, for the least error of the products behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from neon_edge.build.importers import QuantisedLinear
from neon_edge.build.quantise.round import LEAST, round_int8
from neon_edge.types import Float32

ALPHAS = (0.0, 0.4, 0.5, 0.6, 0.7, 0.8)
"""0 is no smoothing at all."""
CLIPS = (1.0, 0.85, 0.7, 0.5, 0.35, 0.2, 0.1, 0.05, 0.02)
"""Parts of the largest magnitude that the range may end at."""

COARSE = (1.0, 0.5, 0.1)
"""Tried with every α; the others only with the best."""

_TINY = 1e-6


@dataclass(frozen=True)
class Smoothed:
    """The best found for one input: factors for x (None: none), its scale, and what is lost.

    `error` is the mean over tokens of the squared error of the products, each token's in parts of
    the token's own, plus the typical, magnitude.
    """

    input_scale: Float32 | None
    activation_scale: float
    error: float
    alpha: float
    clip: float


def search(
    rows: Float32, reach: Float32, matrices: Sequence[Float32], least: float = LEAST
) -> Smoothed:
    """Of tokens (n, inputs), all of whose channels stay below `reach` (inputs,) in magnitude.

    `least` is the smallest scale that the graph's type holds.
    """
    products = _Products(rows, reach, matrices, least)
    trials = [products.trial(alpha, clip) for alpha in ALPHAS for clip in COARSE]
    alpha = min(trials, key=_error).alpha
    fine = [products.trial(alpha, clip) for clip in CLIPS]
    return min([*trials, *fine], key=_error)


def ranged(
    rows: Float32, reach: Float32, matrices: Sequence[Float32], end: float, least: float = LEAST
) -> Smoothed:
    """No smoothing, and a range that somebody else chose to stop at `end`."""
    return _Products(rows, reach, matrices, least).trial(0.0, end / max(float(reach.max()), _TINY))


class _Products:
    """What the float network makes of these tokens, to hold trials against."""

    def __init__(
        self, rows: Float32, reach: Float32, matrices: Sequence[Float32], least: float
    ) -> None:
        self._least = least
        self._x = torch.from_numpy(rows)
        self._reach = torch.from_numpy(reach)
        self._weights = [torch.from_numpy(matrix) for matrix in matrices]
        self._exact = torch.cat([self._x @ weight for weight in self._weights], dim=1)
        size = self._exact.square().sum(dim=1)
        self._share = 1 / (size + size.median() + _TINY)
        self._widest = torch.stack([w.abs().amax(dim=1) for w in self._weights]).amax(dim=0)
        self._alpha = -1.0

    def trial(self, alpha: float, clip: float) -> Smoothed:
        """Everything as the engine will round it."""
        if alpha != self._alpha:
            self._alpha = alpha
            self._factors = smoothing(self._reach, self._widest, alpha)
            factors = self._factors[:, None]
            self._rounded = torch.cat(
                [_int8(w * factors, self._least) for w in self._weights], dim=1
            )
            self._smoothed = self._x / self._factors
            self._top = float((self._reach / self._factors).max())
        scale = max(self._top * clip / 127, _TINY, self._least)
        codes = (self._smoothed / scale).round_().clamp_(-128, 127).mul_(scale)
        lost = (codes @ self._rounded).sub_(self._exact).square_().sum(dim=1)
        taken = None if alpha == 0 else (1 / self._factors).numpy()
        return Smoothed(taken, scale, float((lost * self._share).mean()), alpha, clip)


def _error(trial: Smoothed) -> float:
    return trial.error


def smoothing(reach: Tensor, widest: Tensor, alpha: float) -> Tensor:
    """s (inputs,), its geometric mean one, so that scales keep their order of magnitude."""
    if alpha == 0:
        return torch.ones_like(reach)
    factors = reach.clamp_min(_TINY).pow(alpha) / widest.clamp_min(_TINY).pow(1 - alpha)
    factors = factors / factors.log().mean().exp()
    return factors.clamp(1e-3, 1e3)


def quantise_int8(matrix: Float32, smoothed: Smoothed, least: float = LEAST) -> QuantisedLinear:
    """(inputs, outputs) → W8A8 with the input prepared as `smoothed` says."""
    if smoothed.input_scale is None:
        return replace(round_int8(matrix, least), activation_scale=smoothed.activation_scale)
    layer = round_int8(matrix / smoothed.input_scale[:, None], least)
    return replace(
        layer,
        input_scale=smoothed.input_scale.astype(np.float32),
        activation_scale=smoothed.activation_scale,
    )


def _int8(weight: Tensor, least: float) -> Tensor:
    scales = (weight.abs().amax(dim=0) / 127).clamp_min(least)
    return (weight / scales).round_().clamp_(-127, 127).mul_(scales)
