"""The `mlp` head: one decoder for all columns, or one a group of joints."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from neon_edge.checkpoint.networks.blocks import ReluSquared, RmsNorm, numbered


class ChunkingHead(nn.Module):
    """Features once, then every step of the chunk from features and the step's own embedding."""

    def __init__(self, inputs: int, outputs: int, steps: int, hidden: int) -> None:
        super().__init__()
        self.step_embed = nn.Embedding(steps, hidden)
        self.feature_proj = numbered(
            _0=nn.Linear(inputs, hidden), _1=RmsNorm(hidden), _2=ReluSquared()
        )
        self.decoder = numbered(
            _0=nn.Linear(2 * hidden, hidden),
            _1=RmsNorm(hidden),
            _2=ReluSquared(),
            _4=nn.Linear(hidden, hidden),
            _5=RmsNorm(hidden),
            _6=ReluSquared(),
            _8=nn.Linear(hidden, outputs),
        )
        # In the file, and in no equation: upstream never multiplies by it.
        self.residual_scale = nn.Parameter(torch.ones(1))

    def forward(self, features: Tensor) -> Tensor:
        """(batch, inputs) -> (batch, steps, outputs) in [-1, 1]."""
        embedded = self.step_embed.weight
        projected: Tensor = self.feature_proj(features)
        rows = projected[:, None, :].expand(-1, embedded.shape[0], -1)
        steps = embedded[None].expand(features.shape[0], -1, -1)
        return torch.tanh(self.decoder(torch.cat([rows, steps], dim=-1)))


class MlpDecoder(nn.Module):
    """One row of actions; with three layers or more, residuals and a skip to the last layer."""

    def __init__(self, inputs: int, outputs: int, hidden: int, layers: int) -> None:
        super().__init__()
        inner = max(layers - 2, 0)
        self.input_proj = nn.Linear(inputs, hidden)
        self.input_norm = RmsNorm(hidden)
        self.hidden_layers = nn.ModuleList(
            nn.Linear(hidden * (2 if at == inner - 1 else 1), hidden) for at in range(inner)
        )
        self.hidden_norms = nn.ModuleList(RmsNorm(hidden) for _ in range(inner))
        self.output_proj = nn.Linear(hidden, outputs)
        scales = layers - 1 if layers >= 3 else 0
        if scales:
            self.residual_scales = nn.ParameterList(torch.ones(1) for _ in range(scales))

    def forward(self, features: Tensor) -> Tensor:
        """(batch, inputs) -> (batch, outputs) in [-1, 1]."""
        first = torch.relu(self.input_norm(self.input_proj(features))).square()
        row = first
        for at, (linear, norm) in enumerate(
            zip(self.hidden_layers, self.hidden_norms, strict=True)
        ):
            last = at == len(self.hidden_layers) - 1
            before = torch.cat([row, first], dim=-1) if last else row
            row = torch.relu(norm(linear(before))).square() + self.residual_scales[at] * row
        return torch.tanh(self.output_proj(row))


class SingleHead(nn.Module):
    """All columns from one decoder."""

    def __init__(self, head: ChunkingHead | MlpDecoder) -> None:
        super().__init__()
        self.head = head

    def forward(self, features: Tensor) -> Tensor:
        """(batch, inputs) -> (batch, steps, columns); one step without chunking."""
        return _as_chunk(self.head(features))


class SeparateHeads(nn.Module):
    """One decoder a group, joined in upstream's order: arms, torso_head, legs, locomotion.

    The names say what upstream meant them for. What a column moves is its position in
    `action_space.json`: in whole_body the head called `arms` drives legs and waist.
    """

    ORDER = ("arms", "torso_head", "legs", "locomotion")

    def __init__(self, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.heads = nn.ModuleDict(dict(heads))

    def forward(self, features: Tensor) -> Tensor:
        """(batch, inputs) -> (batch, steps, columns); one step without chunking."""
        parts = [self.heads[name](features) for name in self.ORDER if name in self.heads]
        return _as_chunk(torch.cat(parts, dim=-1))


def _as_chunk(actions: Tensor) -> Tensor:
    return actions if actions.dim() == 3 else actions[:, None, :]
