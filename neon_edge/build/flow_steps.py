"""The `flow` head one Euler step at a time, for a host that guides its integration.

The same folding as `FoldedFlow`, cut where the host must reach in: what an observation makes of
every step, once; the velocity of one step; and the pull-back (dv/dx)^T e of that velocity, written
out because the exporter traces no gradient.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from neon_edge.build.fold import linear_of, squared_over_mean
from neon_edge.build.fold_flow import FoldedBlock, FoldedFlow
from neon_edge.checkpoint.networks.blocks import EPSILON
from neon_edge.checkpoint.networks.flow import FlowHead


class FlowCondition(nn.Module):
    """All that a step needs but its state: one row a step, the last column a square sum."""

    def __init__(self, head: FlowHead) -> None:
        super().__init__()
        self.flow = FoldedFlow(head, attends=False)
        self.steps = head.out_proj.out_features // head.columns

    def forward(
        self, features: Tensor, named: dict[str, Tensor], origin: Tensor, half_range: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """-> modulation (Euler steps, layers * hidden + 1), base and gain (1, steps, columns)."""
        flow = self.flow
        seen = squared_over_mean(flow.features(features)) * flow.features_scale
        others = torch.tensor([[s + flow.width * EPSILON] for s in flow.moment_squares])
        shares = [block.features(seen) + block.moments for block in blocks_of(flow)]
        modulation = torch.cat([*shares, others + (seen * seen).sum(-1, keepdim=True)], dim=-1)
        rows = (1, self.steps, half_range.shape[0])
        return modulation, origin.expand(rows), half_range.expand(rows)


class _Block(NamedTuple):
    """What the way back needs of a block's way forth."""

    row: Tensor
    summed: Tensor
    size: Tensor
    positive: Tensor


class FlowVelocity(nn.Module):
    """One step's velocity, per unit of time."""

    def __init__(self, head: FlowHead) -> None:
        super().__init__()
        self.flow = FoldedFlow(head, attends=False)
        self.out = linear_of(head.out_proj.weight, head.out_proj.bias)
        self.parts = [block.row.out_features for block in blocks_of(self.flow)] + [1]

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        """(1, steps, columns), one row of the modulation -> velocity (1, steps, columns)."""
        velocity: Tensor = self.out(self.rows(x, modulation)[1])
        return velocity.reshape(x.shape)

    def rows(self, x: Tensor, modulation: Tensor) -> tuple[list[_Block], Tensor]:
        """What every block saw and made, and the last row (1, hidden)."""
        *shares, others = torch.split(modulation, self.parts, dim=-1)
        row = squared_over_mean(self.flow.state(x.reshape(1, -1))) * self.flow.state_scale
        passed = []
        for block, share in zip(blocks_of(self.flow), shares, strict=True):
            size = torch.sqrt((row * row).sum(-1, keepdim=True) + others)
            summed = block.row(row) + share
            positive = torch.relu(summed / size + block.bias)
            passed.append(_Block(row, summed, size, positive))
            row = positive * positive + row * block.scale
        return passed, row


class FlowPullback(nn.Module):
    """(dv/dx)^T e of `FlowVelocity`, exact but for rounding."""

    def __init__(self, head: FlowHead) -> None:
        super().__init__()
        self.velocity = FlowVelocity(head)

    def forward(self, x: Tensor, modulation: Tensor, error: Tensor) -> Tensor:
        """x and error (1, steps, columns), one row of the modulation -> (1, steps, columns)."""
        flow = self.velocity.flow
        passed, _ = self.velocity.rows(x, modulation)
        back = error.reshape(1, -1) @ self.velocity.out.weight
        for block, seen in zip(reversed(blocks_of(flow)), reversed(passed), strict=True):
            of_ratio = 2 * seen.positive * back
            of_size = -(of_ratio * seen.summed).sum(-1, keepdim=True) / seen.size**2
            through = (of_ratio / seen.size) @ block.row.weight
            back = back * block.scale + through + seen.row * (of_size / seen.size)
        state = flow.state(x.reshape(1, -1))
        pulled: Tensor = _of_squared_over_mean(state, back * flow.state_scale) @ flow.state.weight
        return pulled.reshape(x.shape)


def _of_squared_over_mean(x: Tensor, back: Tensor) -> Tensor:
    mean = (x * x).mean(-1, keepdim=True) + EPSILON
    positive = torch.relu(x)
    weighed = (back * positive * positive).sum(-1, keepdim=True) / (mean * x.shape[-1])
    return 2 * (back * positive - weighed * x) / mean


def blocks_of(flow: FoldedFlow) -> list[FoldedBlock]:
    """Its blocks, typed."""
    return [block for block in flow.blocks if isinstance(block, FoldedBlock)]


def modulation_width(head: FlowHead) -> int:
    """Columns of the modulation."""
    return len(head.blocks) * head.out_proj.in_features + 1
