"""The `jepa` head: features -> an action embedding -> a chunk, the second only when it matters.

After VL-JEPA (arXiv 2512.10942), with actions in the place of text. neon-vla 0.1.5 has no such
head: names and shapes are ours, in neon_edge/heads/README.md. The encoder of actions that training
compares embeddings with is no part of the file.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neon_edge.checkpoint.networks.blocks import EPSILON, ReluSquared, RmsNorm, numbered
from neon_edge.checkpoint.networks.mlp import ChunkingHead


def unit(x: Tensor) -> Tensor:
    """Rows (..., width) with a root mean square of 1, so that distances mean the same anywhere."""
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPSILON)


class JepaHead(nn.Module):
    """A predictor of embeddings, and the decoder behind it, which sees nothing else."""

    def __init__(self, inputs: int, columns: int, steps: int, width: int, hidden: int) -> None:
        super().__init__()
        self.width = width
        self.predictor = numbered(
            _0=nn.Linear(inputs, hidden),
            _1=RmsNorm(hidden),
            _2=ReluSquared(),
            _3=nn.Linear(hidden, width),
        )
        self.decoder = ChunkingHead(width, columns, steps, hidden)

    def embedding(self, features: Tensor) -> Tensor:
        """(batch, inputs) -> (batch, width)."""
        return unit(self.predictor(features))

    def forward(self, features: Tensor) -> Tensor:
        """(batch, inputs) -> (batch, steps, columns) in [-1, 1]."""
        chunk: Tensor = self.decoder(self.embedding(features))
        return chunk
