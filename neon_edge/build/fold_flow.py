"""The `flow` head rearranged: what does not change along the Euler steps is computed once.

Each block norms and multiplies a row joined of three: the state, the time and the features. Split
by columns, the time's share is a constant of each step and the features' share one product a tick,
so that a step reads a third of the block's weights. The last layer holds the step's length.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from neon_edge.build.fold import linear_of, signed, squared_over_mean
from neon_edge.checkpoint.networks.blocks import EPSILON, RmsNorm
from neon_edge.checkpoint.networks.flow import CROSS_HEADS, FlowHead

KEYS = "token_keys"
VALUES = "token_values"
BIAS = "token_bias"
TERMS = (KEYS, VALUES, BIAS)
FAR = 1e9
"""How far below every score a padded row stands: softmax leaves it 0, and it is no infinity."""


class FoldedFlow(nn.Module):
    """A `FlowHead` for one observation, unrolled over its steps."""

    moments: Tensor

    def __init__(self, head: FlowHead, attends: bool) -> None:
        super().__init__()
        self.columns = head.columns
        self.denoise_steps = head.denoise_steps
        projection, norm, _ = head.feature_proj
        assert isinstance(projection, nn.Linear) and isinstance(norm, RmsNorm)
        self.features = signed(projection, norm)
        self.features_scale = nn.Parameter(norm.weight.square(), requires_grad=False)
        projection, norm, _ = head.action_proj
        assert isinstance(projection, nn.Linear) and isinstance(norm, RmsNorm)
        self.state = signed(projection, norm)
        self.state_scale = nn.Parameter(norm.weight.square(), requires_grad=False)
        times = torch.arange(head.denoise_steps)[:, None] / head.denoise_steps
        moments: Tensor = head.time_embed(times)
        self.moment_squares = [float(row.square().sum()) for row in moments]
        self.width = 3 * moments.shape[1]
        self.blocks = nn.ModuleList(
            FoldedBlock(block, scale, moments)
            for block, scale in zip(head.blocks, head.residual_scales, strict=True)
        )
        stride = 1.0 / head.denoise_steps
        self.out = linear_of(head.out_proj.weight * stride, head.out_proj.bias * stride)
        self.crossed = head.crossed if attends else -1
        self.cross = FoldedCross(head) if attends else None

    def forward(self, features: Tensor, noise: Tensor, *tokens: Tensor) -> Tensor:
        """(1, inputs), (1, steps, columns), `TERMS` -> (steps, columns) in [-1, 1]."""
        seen = squared_over_mean(self.features(features)) * self.features_scale
        seen_square = (seen * seen).sum(-1, keepdim=True)
        blocks = [block for block in self.blocks if isinstance(block, FoldedBlock)]
        x = noise.reshape(1, -1)
        shares = [block.features(seen) for block in blocks]
        for step in range(self.denoise_steps):
            others = seen_square + (self.moment_squares[step] + self.width * EPSILON)
            row = squared_over_mean(self.state(x)) * self.state_scale
            for at, block in enumerate(blocks):
                row = block(row, shares[at], step, others)
                if at == self.crossed and self.cross is not None:
                    row = row + self.cross(row, *tokens)
            x = x + self.out(row)
        return torch.tanh(x.reshape(-1, self.columns))


class FoldedBlock(nn.Module):
    """One residual block: the norm's weight is in the matrices, its root outside them."""

    moments: Tensor
    bias: Tensor

    def __init__(self, block: nn.Module, scale: Tensor, moments: Tensor) -> None:
        super().__init__()
        norm, linear, _ = block.children()
        assert isinstance(norm, RmsNorm) and isinstance(linear, nn.Linear)
        # The root's square root of the width, too: the row is divided by its norm, not its RMS.
        weight = linear.weight * norm.weight * math.sqrt(linear.in_features)
        of_row, of_moment, of_features = weight.chunk(3, dim=1)
        self.row = linear_of(of_row, None)
        self.features = linear_of(of_features, None)
        self.register_buffer("moments", moments @ of_moment.T)
        self.register_buffer("bias", linear.bias.detach().clone())
        self.scale = float(scale)

    def forward(self, row: Tensor, share: Tensor, step: int, others: Tensor) -> Tensor:
        """`others` is the rest of the joined row's square sum."""
        square = (row * row).sum(-1, keepdim=True) + others
        summed = self.row(row) + (share + self.moments[step : step + 1])
        positive = torch.relu(summed / torch.sqrt(square) + self.bias)
        return positive * positive + row * self.scale


class FoldedCross(nn.Module):
    """One query against keys and values that were made when the tokens arrived."""

    def __init__(self, head: FlowHead) -> None:
        super().__init__()
        attention, norm = head.cross_attn, head.cross_attn_norm
        width = norm.weight.shape[0]
        sharp = 1 / math.sqrt(width // CROSS_HEADS)
        self.query = linear_of(
            attention.in_proj_weight[:width] * norm.weight * sharp,
            attention.in_proj_bias[:width] * sharp,
        )
        gate, out = head.cross_attn_gate, attention.out_proj
        self.out = linear_of(out.weight * gate, out.bias * gate)

    def forward(self, row: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
        """(1, width), (heads, part, n), (heads, n, part), (1, 1, n) -> (1, width)."""
        normed = row * torch.rsqrt((row * row).mean(-1, keepdim=True) + EPSILON)
        query = self.query(normed).reshape(CROSS_HEADS, 1, -1)
        mixed = (query @ keys + bias).softmax(dim=-1) @ values
        attended: Tensor = self.out(mixed.reshape(1, -1))
        return attended


class TokenTerms(nn.Module):
    """Keys and values of the backbone's tokens, and what is no token, made once a feature."""

    def __init__(self, head: FlowHead) -> None:
        super().__init__()
        attention = head.cross_attn
        width = attention.out_proj.in_features
        weight, bias = attention.in_proj_weight[width:], attention.in_proj_bias[width:]
        if isinstance(head.cross_kv_proj, nn.Linear):
            # Two linear layers in a row are one.
            bias = bias + weight @ head.cross_kv_proj.bias
            weight = weight @ head.cross_kv_proj.weight
        self.both = linear_of(weight, bias)

    def forward(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(1, n, token width), (1, n) -> (heads, part, n), (heads, n, part), (1, 1, n)."""
        keys, values = self.both(tokens[0]).chunk(2, dim=-1)
        apart = (len(keys), CROSS_HEADS, -1)
        bias = (mask - 1) * FAR
        return (
            keys.reshape(apart).permute(1, 2, 0),
            values.reshape(apart).permute(1, 0, 2),
            bias[None],
        )
