"""One layer of attention as decoders and vision towers write it, through the build's exporter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from neon_edge.backbones import PartPlan
from neon_edge.build.graph import export_graph
from neon_edge.engine.manifest import TensorSpec
from neon_edge.types import Float32

NEVER = torch.finfo(torch.float32).min / 2


@dataclass(frozen=True)
class Shape:
    """`shared` queries read each key; `mask` is causal, a window of 8, or none."""

    tokens: int = 24
    heads: int = 4
    shared: int = 2
    width: int = 8
    mask: str = "causal"
    vision: bool = False
    """Tokens first, in two windows, as vision towers have it."""
    normed: bool = False
    """Heads normed ahead of the rotation, as Qwen3 has it."""


class Attending(nn.Module):
    """x (1, tokens, heads × width) → the same, with rotary embeddings."""

    def __init__(self, shape: Shape, same_halves: bool = True) -> None:
        super().__init__()
        self.shape = shape
        random = torch.Generator().manual_seed(0)
        across = shape.heads * shape.width
        within = across // shape.shared
        self.weights = nn.ParameterList(
            torch.randn(across, size, generator=random) / across**0.5
            for size in (across, within, within)
        )
        angles = torch.rand(shape.tokens, shape.width // 2, generator=random) * 6
        other = angles if same_halves else angles + 1
        both = torch.cat([angles, other], dim=-1)
        self.cos: Tensor
        self.sin: Tensor
        self.mask: Tensor
        self.register_buffer("cos", both.cos())
        self.register_buffer("sin", both.sin())
        self.register_buffer("mask", mask_of(shape)[None, None])

    def forward(self, x: Tensor) -> Tensor:
        """Eager, as transformers writes it."""
        return self.of_windows(x) if self.shape.vision else self.of_tokens(x)

    def of_tokens(self, x: Tensor) -> Tensor:
        """Heads first, keys repeated for the heads that share them."""
        shape, size = self.shape, (1, self.shape.tokens, -1, self.shape.width)
        query, key, value = (torch.matmul(x, w).view(size) for w in self.weights)
        if shape.normed:
            query, key = (t * torch.rsqrt(t.square().mean(-1, True) + 1e-6) for t in (query, key))
        query, key, value = (each.transpose(1, 2) for each in (query, key, value))
        query, key = (
            turned(each, self.cos[None, None], self.sin[None, None]) for each in (query, key)
        )
        key, value = (repeated(each, shape.shared) for each in (key, value))
        scores = torch.matmul(query, key.transpose(2, 3)) * shape.width**-0.5
        if shape.mask != "none":
            scores = scores + self.mask
        made = torch.matmul(scores.softmax(-1), value).transpose(1, 2)
        return made.reshape(1, shape.tokens, -1)

    def of_windows(self, x: Tensor) -> Tensor:
        """Rotated as (tokens, heads, width), then in two windows."""
        shape, size = self.shape, (self.shape.tokens, -1, self.shape.width)
        query, key, value = (torch.matmul(x[0], w).view(size) for w in self.weights)
        query, key = (turned(each, self.cos[:, None], self.sin[:, None]) for each in (query, key))
        windows = 2, shape.tokens // 2, shape.heads, shape.width
        query, key, value = (each.reshape(windows).transpose(1, 2) for each in (query, key, value))
        scores = torch.matmul(query, key.transpose(2, 3)) * shape.width**-0.5
        made = torch.matmul(scores.softmax(-1), value).transpose(1, 2)
        return made.reshape(1, shape.tokens, -1)


def turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of two halves."""
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], dim=-1) * sin


def repeated(x: Tensor, times: int) -> Tensor:
    """Each head `times` in a row; a view where that is once."""
    if times == 1:
        return x
    batch, heads, tokens, width = x.shape
    wide = x[:, :, None].expand(batch, heads, times, tokens, width)
    return wide.reshape(batch, heads * times, tokens, width)


def mask_of(shape: Shape) -> Tensor:
    """(tokens, tokens) to add to scores."""
    apart = torch.arange(shape.tokens)[:, None] - torch.arange(shape.tokens)[None]
    seen = apart >= 0
    if shape.mask == "window":
        seen = seen & (apart < 8)
    return torch.where(seen, 0.0, NEVER)


def exported(module: nn.Module, shape: Shape, path: Path) -> onnx.ModelProto:
    """The graph that the build makes of it."""
    across = shape.heads * shape.width
    size = [1, shape.tokens, across]
    plan = PartPlan("one", [TensorSpec("x", size)], [TensorSpec("out", size)], lambda _: module)
    export_graph(module.eval().requires_grad_(False), plan, path)
    return onnx.load(path)


def drawn(shape: Shape) -> Float32:
    """x of that shape."""
    random = np.random.default_rng(1)
    return random.standard_normal((1, shape.tokens, shape.heads * shape.width), np.float32)
