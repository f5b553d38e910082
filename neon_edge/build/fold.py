"""Head networks rearranged for speed: the same function, fewer and smaller operations.

What is exact in real arithmetic and costs rounding only (measured by `heads.heads_error`):

- an RMS norm followed by ReLU²: relu(w·x/ρ)² = w²·relu(±x)²/ρ², so the sign of w moves into the
  layer before, w² into the layer after, and the root disappears;
- the half of the first decoder layer that sees only step embeddings is a constant;
- a skip that joins a row to itself is one matrix, the sum of two.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from neon_edge.checkpoint.networks.blocks import EPSILON, RmsNorm
from neon_edge.checkpoint.networks.mlp import (
    ChunkingHead,
    MlpDecoder,
    SeparateHeads,
    SingleHead,
)


class ErfGelu(nn.Module):
    """GELU spelled as ONNX Runtime's and TensorRT's fusers know it."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return x * (torch.erf(x / math.sqrt(2)) + 1) * 0.5


def squared_over_mean(x: Tensor) -> Tensor:
    """relu(x)² over the mean square of each row: ReLU² of an RMS norm whose weight is folded."""
    positive = torch.relu(x)
    return positive * positive / ((x * x).mean(-1, keepdim=True) + EPSILON)


def signed(linear: nn.Linear, norm: RmsNorm) -> nn.Linear:
    """`linear` with the signs of the norm behind it. The mean square does not notice."""
    sign = torch.where(norm.weight < 0, -1.0, 1.0)
    assert linear.bias is not None
    return linear_of(linear.weight * sign[:, None], linear.bias * sign)


def weighted(weight: Tensor, norm: RmsNorm) -> Tensor:
    """Columns of the layer behind a norm and ReLU², times the norm's squared weight."""
    return weight * norm.weight.square()


def linear_of(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A Linear that holds exactly these."""
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    linear.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    if bias is not None:
        linear.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return linear


class FoldedChunking(nn.Module):
    """A `ChunkingHead`: one row up to the first decoder layer, then one row a step."""

    steps: Tensor

    def __init__(self, head: ChunkingHead) -> None:
        super().__init__()
        projection, first_norm, _ = head.feature_proj
        second, second_norm, _, third, third_norm, _, last = head.decoder
        assert isinstance(projection, nn.Linear) and isinstance(first_norm, RmsNorm)
        assert isinstance(second, nn.Linear) and isinstance(second_norm, RmsNorm)
        assert isinstance(third, nn.Linear) and isinstance(third_norm, RmsNorm)
        assert isinstance(last, nn.Linear)
        self.first = signed(projection, first_norm)
        second = signed(second, second_norm)
        of_features, of_steps = second.weight.chunk(2, dim=1)
        self.second = linear_of(weighted(of_features, first_norm), None)
        embedded = head.step_embed.weight
        self.register_buffer("steps", embedded @ of_steps.T + second.bias)
        third = signed(third, third_norm)
        self.third = linear_of(weighted(third.weight, second_norm), third.bias)
        self.last = linear_of(weighted(last.weight, third_norm), last.bias)

    def forward(self, features: Tensor) -> Tensor:
        """(1, inputs) -> (steps, outputs) in [-1, 1]."""
        row = self.second(squared_over_mean(self.first(features)))
        rows = self.third(squared_over_mean(row + self.steps))
        return torch.tanh(self.last(squared_over_mean(rows)))


class FoldedDecoder(nn.Module):
    """An `MlpDecoder`. Residuals need the norms' weights, which therefore stay where they are."""

    def __init__(self, decoder: MlpDecoder) -> None:
        super().__init__()
        self.first = signed(decoder.input_proj, decoder.input_norm)
        self.first_scale = nn.Parameter(decoder.input_norm.weight.square(), requires_grad=False)
        self.inner = nn.ModuleList()
        self.scales = nn.ParameterList()
        for at, (linear, norm) in enumerate(
            zip(decoder.hidden_layers, decoder.hidden_norms, strict=True)
        ):
            assert isinstance(linear, nn.Linear) and isinstance(norm, RmsNorm)
            inner = signed(linear, norm)
            if at == 0 and inner.in_features == 2 * inner.out_features:
                inner = linear_of(sum_of_halves(inner.weight), inner.bias)
            self.inner.append(inner)
            self.scales.append(nn.Parameter(norm.weight.square(), requires_grad=False))
        self.residuals = [float(scale) for scale in getattr(decoder, "residual_scales", ())]
        self.last = decoder.output_proj

    def forward(self, features: Tensor) -> Tensor:
        """(1, inputs) -> (1, outputs) in [-1, 1]."""
        first = row = squared_over_mean(self.first(features)) * self.first_scale
        for linear, scale, residual in zip(
            self.inner, self.scales, self.residuals[: len(self.inner)], strict=True
        ):
            assert isinstance(linear, nn.Linear)
            joined = linear.in_features == 2 * linear.out_features
            before = torch.cat([row, first], dim=-1) if joined else row
            row = squared_over_mean(linear(before)) * scale + residual * row
        return torch.tanh(self.last(row))


def sum_of_halves(weight: Tensor) -> Tensor:
    """(outputs, 2n) applied to a row joined to itself is (outputs, n) applied to the row."""
    left, right = weight.chunk(2, dim=1)
    return left + right


def decoders_of(head: nn.Module) -> list[nn.Module]:
    """The decoders of an `mlp` head, in the order in which their outputs are joined."""
    if isinstance(head, SeparateHeads):
        return [head.heads[name] for name in head.ORDER if name in head.heads]
    assert isinstance(head, SingleHead)
    return [head.head]


def folded(decoder: nn.Module) -> nn.Module:
    """One decoder, rearranged."""
    if isinstance(decoder, ChunkingHead):
        return FoldedChunking(decoder)
    assert isinstance(decoder, MlpDecoder)
    return FoldedDecoder(decoder)


def spell_gelu(module: nn.Module) -> None:
    """Replace every GELU below `module` by the fusable spelling."""
    for name, child in module.named_children():
        if isinstance(child, nn.GELU):
            setattr(module, name, ErfGelu())
        else:
            spell_gelu(child)
