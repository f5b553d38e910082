"""The small blocks that upstream's heads are made of (`neon/model/action_heads.py`)."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

EPSILON = 1e-5


class RmsNorm(nn.Module):
    """Each row divided by its root mean square, times a learned weight. (..., width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., width)."""
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPSILON) * self.weight


class ReluSquared(nn.Module):
    """max(0, x)²."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return torch.relu(x).square()


def numbered(**parts: nn.Module) -> nn.Sequential:
    """A Sequential whose parts keep upstream's numbers, without the dropouts between them.

    `numbered(_0=..., _4=...)` names its parts "0" and "4".
    """
    return nn.Sequential(OrderedDict((name.lstrip("_"), part) for name, part in parts.items()))


def two_layers(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Linear, GELU, Linear, GELU: the encoder of every vector-valued sensor."""
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, outputs), nn.GELU()
    )
