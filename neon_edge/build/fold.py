"""Head networks rearranged for speed: the same function, fewer and smaller operations.

What is exact in real arithmetic and costs rounding only (measured by `heads.heads_error`):

- an RMS norm is spelled as ONNX Runtime's fuser knows it, and becomes one operation;
- where it cannot be, in steps that are pulled back, relu(w·x/ρ)² = w²·relu(±x)²/ρ²: the sign of w
  moves into the layer before, and the root disappears;
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


def relu_squared(x: Tensor, norm: RmsNorm) -> Tensor:
    """ReLU² of `norm`, spelled as ONNX Runtime's fuser knows an RMS norm."""
    root = torch.sqrt(torch.pow(x, 2).mean(-1, keepdim=True) + EPSILON)
    positive = torch.relu(x / root * norm.weight)
    return positive * positive


def squared_over_mean(x: Tensor) -> Tensor:
    """relu(x)² over the mean square of each row: ReLU² of an RMS norm whose weight is folded."""
    positive = torch.relu(x)
    return positive * positive / ((x * x).mean(-1, keepdim=True) + EPSILON)


def signed(linear: nn.Linear, norm: RmsNorm) -> nn.Linear:
    """`linear` with the signs of the norm behind it. The mean square does not notice."""
    sign = torch.where(norm.weight < 0, -1.0, 1.0)
    assert linear.bias is not None
    return linear_of(linear.weight * sign[:, None], linear.bias * sign)


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
        self.first, first_norm, _ = head.feature_proj
        second, second_norm, _, self.third, third_norm, _, self.last = head.decoder
        self.norms = nn.ModuleList([first_norm, second_norm, third_norm])
        assert isinstance(second, nn.Linear)
        of_features, of_steps = second.weight.chunk(2, dim=1)
        self.second = linear_of(of_features, None)
        embedded = head.step_embed.weight
        self.register_buffer("steps", embedded @ of_steps.T + second.bias)

    def forward(self, features: Tensor, row: Tensor | None = None) -> Tensor:
        """(1, inputs) -> (steps, outputs) in [-1, 1]; or (1, outputs) of step `row`, int32 (1,)."""
        first, second, third = (norm for norm in self.norms if isinstance(norm, RmsNorm))
        steps = self.steps if row is None else nn.functional.embedding(row, self.steps)
        rows = relu_squared(self.first(features), first) @ self.second.weight.T + steps
        rows = self.third(relu_squared(rows, second))
        return torch.tanh(self.last(relu_squared(rows, third)))


class FoldedDecoder(nn.Module):
    """An `MlpDecoder`."""

    def __init__(self, decoder: MlpDecoder) -> None:
        super().__init__()
        self.first, self.first_norm = decoder.input_proj, decoder.input_norm
        self.inner, self.norms = nn.ModuleList(), decoder.hidden_norms
        for at, linear in enumerate(decoder.hidden_layers):
            assert isinstance(linear, nn.Linear)
            to_itself = at == 0 and linear.in_features == 2 * linear.out_features
            summed = linear_of(sum_of_halves(linear.weight), linear.bias) if to_itself else linear
            self.inner.append(summed)
        self.residuals = [float(scale) for scale in getattr(decoder, "residual_scales", ())]
        self.last = decoder.output_proj

    def forward(self, features: Tensor) -> Tensor:
        """(1, inputs) -> (1, outputs) in [-1, 1]."""
        first = row = relu_squared(self.first(features), self.first_norm)
        for linear, norm, residual in zip(
            self.inner, self.norms, self.residuals[: len(self.inner)], strict=True
        ):
            assert isinstance(linear, nn.Linear) and isinstance(norm, RmsNorm)
            joined = linear.in_features == 2 * linear.out_features
            before = torch.cat([row, first], dim=-1) if joined else row
            row = relu_squared(linear(before), norm) + residual * row
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
