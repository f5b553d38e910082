"""Attention with the parameter names and packing of `torch.nn.MultiheadAttention`."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


class Attention(nn.Module):
    """`width` in `heads` equal parts; queries, keys and values of one width, batch first."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, queries: Tensor, source: Tensor) -> Tensor:
        """(batch, n, width) attending to (batch, m, width) -> (batch, n, width)."""
        width = queries.shape[-1]
        weight, bias = self.in_proj_weight, self.in_proj_bias
        query = self._apart(linear(queries, weight[:width], bias[:width]))
        key, value = linear(source, weight[width:], bias[width:]).chunk(2, dim=-1)
        key, value = self._apart(key), self._apart(value)
        scores = query @ key.transpose(-1, -2) / math.sqrt(width // self.heads)
        mixed = (scores.softmax(dim=-1) @ value).transpose(1, 2).flatten(2)
        attended: Tensor = self.out_proj(mixed)
        return attended

    def _apart(self, x: Tensor) -> Tensor:
        # (batch, n, width) -> (batch, heads, n, width / heads)
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)
