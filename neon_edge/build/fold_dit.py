"""The `dit` head rearranged into two graphs: its modulation once a tick, its blocks once a step.

The modulation layers hold a third of the weights and see only features and time: all steps go
through them as one product. Norm weights and the "1 +" of each scale are in those layers' weights.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from neon_edge.build.fold import linear_of, signed, squared_over_mean
from neon_edge.checkpoint.networks.blocks import EPSILON, RmsNorm
from neon_edge.checkpoint.networks.dit import DitBlock, DitHead

MODULATION = "modulation"


class DitModulation(nn.Module):
    """(1, inputs) -> (denoise steps, 6 * layers * hidden)."""

    moments: Tensor

    def __init__(self, head: DitHead) -> None:
        super().__init__()
        projection, norm, _ = head.cond_proj
        assert isinstance(projection, nn.Linear) and isinstance(norm, RmsNorm)
        self.condition = signed(projection, norm)
        self.scale = nn.Parameter(norm.weight.square(), requires_grad=False)
        times = torch.tensor(head.times[:-1])[:, None]
        self.register_buffer("moments", head.time_embed(times))
        layers = [_modulation_of(block) for block in head.blocks if isinstance(block, DitBlock)]
        self.all = linear_of(
            torch.cat([weight for weight, _ in layers]), torch.cat([bias for _, bias in layers])
        )

    def forward(self, features: Tensor) -> Tensor:
        """One row of scales, shifts and gates for every step."""
        condition = squared_over_mean(self.condition(features)) * self.scale
        rows: Tensor = self.all(nn.functional.silu(condition + self.moments))
        return rows


def _modulation_of(block: DitBlock) -> tuple[Tensor, Tensor]:
    linear = block.adaLN[1]
    assert isinstance(linear, nn.Linear)
    weight = linear.weight.detach().clone().chunk(6)
    bias = linear.bias.detach().clone().chunk(6)
    for scale, norm in ((0, block.norm1), (3, block.norm2)):
        weight[scale].mul_(norm.weight[:, None])
        bias[scale].add_(1).mul_(norm.weight)
    return torch.cat(weight), torch.cat(bias)


class DitStep(nn.Module):
    """One noise prediction: x (1, steps, columns) and its row of modulation -> the noise."""

    place: Tensor

    def __init__(self, head: DitHead) -> None:
        super().__init__()
        self.embed = head.action_embed
        self.register_buffer("place", head.pos_embed.detach()[0])
        self.blocks = nn.ModuleList(
            FoldedDitBlock(block) for block in head.blocks if isinstance(block, DitBlock)
        )
        self.out = linear_of(head.out_proj.weight * head.final_norm.weight, head.out_proj.bias)

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        """(1, steps, columns), (1, 6 * layers * hidden) -> (1, steps, columns)."""
        rows = self.embed(x[0]) + self.place
        for block, part in zip(
            self.blocks, modulation.chunk(len(self.blocks), dim=-1), strict=True
        ):
            rows = block(rows, *part.chunk(6, dim=-1))
        noise: Tensor = self.out(normed(rows))
        return noise[None]


class FoldedDitBlock(nn.Module):
    """A block whose scales already hold the norm's weight and the one."""

    def __init__(self, block: DitBlock) -> None:
        super().__init__()
        attention = block.attn
        width = attention.out_proj.in_features
        self.heads = attention.heads
        sharp = torch.ones(3 * width)
        sharp[:width] = 1 / math.sqrt(width // self.heads)
        self.packed = linear_of(
            attention.in_proj_weight * sharp[:, None], attention.in_proj_bias * sharp
        )
        self.attended = attention.out_proj
        up, _, down = block.mlp
        assert isinstance(up, nn.Linear) and isinstance(down, nn.Linear)
        self.up, self.down = up, down

    def forward(
        self,
        rows: Tensor,
        scale: Tensor,
        shift: Tensor,
        gate: Tensor,
        mlp_scale: Tensor,
        mlp_shift: Tensor,
        mlp_gate: Tensor,
    ) -> Tensor:
        """(steps, hidden), six of (1, hidden) -> (steps, hidden)."""
        count = rows.shape[0]
        packed = self.packed(normed(rows) * scale + shift)
        query, key, value = packed.reshape(count, 3, self.heads, -1).permute(1, 2, 0, 3)
        mixed = (query @ key.transpose(1, 2)).softmax(dim=-1) @ value
        rows = rows + gate * self.attended(mixed.transpose(0, 1).reshape(count, -1))
        positive = torch.relu(self.up(normed(rows) * mlp_scale + mlp_shift))
        moved: Tensor = rows + mlp_gate * self.down(positive * positive)
        return moved


def normed(rows: Tensor) -> Tensor:
    """Rows over their root mean square."""
    return rows / torch.sqrt((rows * rows).mean(-1, keepdim=True) + EPSILON)
