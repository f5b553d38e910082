"""TRIBE v2's own fusion as a graph, at its `low_rank_head`.

    steps of text, audio, video ─ Linear each, side by side ─▶ + place ─▶ transformer ─▶ head

facebookresearch/tribev2 `tribev2/model.py` (`FmriEncoderModel`) over x-transformers 1.27.20's
`Encoder`, as neuraltrain 0.0.2 configures it: a norm ahead of every branch by one number, rotary
positions on half of a head, residuals scaled, no bias in attention. Upstream reads brain activity
off every step; here the mean over steps is what heads are given.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from neon_edge.backbones.contract import TensorSource
from neon_edge.backbones.tribe import LowRank, TribeConfig

ORDER = ("text", "audio", "video")
"""In which modalities lie side by side (`features_to_use`)."""
_ROTARY_BASE = 10000.0
_ROTARY_LEAST = 32
_WIDENS = 4
_TINY = 1e-12


class _Branch(nn.Module):
    """Norm and residual scale of one branch; its products are attention's or the feed-forward's."""

    def __init__(self, width: int, products: dict[str, nn.Module]) -> None:
        super().__init__()
        self.norm = nn.Parameter(torch.empty(1))
        self.residual = nn.Parameter(torch.empty(width))
        self.products = nn.ModuleDict(products)


class LowRankPart(nn.Module):
    """Steps (1, steps, numbers) of text, audio, video and `present` (1, 3) → pooled (1, 2048).

    `present` is 1 where a modality is there, in the same order.
    """

    def __init__(self, fusion: LowRank, widths: dict[str, int]) -> None:
        super().__init__()
        width, third = fusion.hidden_size, fusion.hidden_size // len(ORDER)
        self._heads = fusion.num_heads
        self.projectors = nn.ModuleDict(
            {name: nn.Linear(widths[name] * fusion.groups, third) for name in ORDER}
        )
        self.place = nn.Parameter(torch.empty(1, fusion.max_seq_len, width))
        self.branches = nn.ModuleList()
        for _ in range(fusion.num_layers):
            attention = {
                name: nn.Linear(width, width, bias=False)
                for name in ("to_q", "to_k", "to_v", "to_out")
            }
            widening = {
                "wide": nn.Linear(width, _WIDENS * width),
                "narrow": nn.Linear(_WIDENS * width, width),
            }
            for products in (attention, widening):
                self.branches.append(_Branch(width, dict(products)))
        self.final = nn.Parameter(torch.empty(1))
        self.head = nn.Linear(width, fusion.head_width, bias=False)
        self.cos: Tensor
        self.sin: Tensor
        cos, sin = _turns(fusion)
        self.register_buffer("cos", cos)
        self.register_buffer("sin", sin)

    def forward(self, text: Tensor, audio: Tensor, video: Tensor, present: Tensor) -> Tensor:
        """Project, place, attend, read at the head, and take the mean over steps."""
        given = zip(ORDER, (text, audio, video), strict=True)
        pieces = [
            self.projectors[name](steps) * present[:, place : place + 1].unsqueeze(-1)
            for place, (name, steps) in enumerate(given)
        ]
        hidden = torch.cat(pieces, dim=-1)
        hidden = hidden + self.place[:, : hidden.shape[1]]
        for branch in cast("list[Any]", self.branches):
            normed = _scaled(hidden, branch.norm)
            attends = "to_q" in branch.products
            made = self._attend(branch.products, normed) if attends else _widen(branch, normed)
            hidden = made + hidden * branch.residual
        read = self.head(_scaled(hidden, self.final))
        return cast("Tensor", read.mean(dim=1))

    def _attend(self, products: Any, hidden: Tensor) -> Tensor:
        split = (*hidden.shape[:2], self._heads, hidden.shape[-1] // self._heads)
        query, key, value = (
            products[name](hidden).reshape(split).transpose(1, 2)
            for name in ("to_q", "to_k", "to_v")
        )
        scores = torch.matmul(self._turned(query), self._turned(key).transpose(-1, -2))
        seen = torch.matmul(torch.softmax(scores * split[-1] ** -0.5, dim=-1), value)
        return cast("Tensor", products["to_out"](seen.transpose(1, 2).flatten(2)))

    def _turned(self, states: Tensor) -> Tensor:
        turns = self.cos.shape[-1]
        first, second = states[..., : turns // 2], states[..., turns // 2 : turns]
        crossed = torch.cat((-second, first), dim=-1)
        turned = states[..., :turns] * self.cos + crossed * self.sin
        return torch.cat((turned, states[..., turns:]), dim=-1)


def _widen(branch: Any, hidden: Tensor) -> Tensor:
    return cast("Tensor", branch.products["narrow"](gelu(branch.products["wide"](hidden))))


def _scaled(hidden: Tensor, gain: Tensor) -> Tensor:
    """To one length, times one number: x-transformers' `ScaleNorm`."""
    length = (hidden * hidden).sum(dim=-1, keepdim=True).sqrt().clamp(min=_TINY)
    scaled: Tensor = hidden / length * (hidden.shape[-1] ** 0.5) * gain
    return scaled


def _turns(fusion: LowRank) -> tuple[Tensor, Tensor]:
    """Cos and sin (steps, rotated): halves of half a head."""
    turns = max(fusion.hidden_size // fusion.num_heads // 2, _ROTARY_LEAST)
    omega = 1.0 / _ROTARY_BASE ** (torch.arange(0, turns, 2, dtype=torch.float32) / turns)
    angles = (torch.arange(fusion.steps)[:, None] * omega).repeat(1, 2)
    return angles.cos(), angles.sin()


_PRODUCTS = {"wide": "ff.0.0", "narrow": "ff.2"}


def published_name(name: str) -> str:
    """A parameter of `LowRankPart` as `FmriEncoderModel` names it."""
    plain = {"place": "time_pos_embed", "final": "encoder.final_norm.g"}
    if name in plain:
        return plain[name]
    if name.startswith("head."):
        return f"low_rank_{name}"
    if not name.startswith("branches."):
        return name
    _, number, kind, *rest = name.split(".")
    start = f"encoder.layers.{number}"
    if kind == "norm":
        return f"{start}.0.0.g"
    if kind == "residual":
        return f"{start}.2.residual_scale"
    product, leaf = rest
    return f"{start}.1.{_PRODUCTS.get(product, product)}.{leaf}"


def low_rank_shapes(config: TribeConfig) -> dict[str, tuple[int, ...]]:
    """Published names and shapes of what is read."""
    part = _empty(config)
    return {published_name(name): tuple(p.shape) for name, p in part.named_parameters()}


def low_rank_part(config: TribeConfig, source: TensorSource) -> nn.Module:
    """The fusion with its weights; what it predicts brains with is left out."""
    part = _empty(config)
    state = {name: source.tensor(published_name(name)) for name, _ in part.named_parameters()}
    part.load_state_dict(state, strict=False, assign=True)
    assert config.low_rank is not None
    part.cos, part.sin = _turns(config.low_rank)
    return part.eval().requires_grad_(False)


def _empty(config: TribeConfig) -> LowRankPart:
    assert config.low_rank is not None
    with torch.device("meta"):
        return LowRankPart(config.low_rank, config.widths)
