"""TRIBE v2's fusion in plain torch, from the hidden states of whole encoders.

Written from facebookresearch/tribev2 `tribev2/model.py` and x-transformers 1.27.20, and apart from
our graph: means over stacked states, torch's own attention, published names. The tests hold it
against x-transformers itself.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import gelu, linear, normalize, scaled_dot_product_attention

from neon_edge.backbones.contract import TensorSource
from neon_edge.backbones.tribe import LowRank, TribeConfig

_ORDER = ("text", "audio", "video")


def steps_pooled(
    config: TribeConfig, fusion: LowRank, states: dict[str, list[Tensor]], source: TensorSource
) -> Tensor:
    """Hidden states (1, tokens, width) of each modality that is there → pooled (1, head_width)."""

    def read(name: str) -> Tensor:
        return source.tensor(f"fusion.{name}")

    third = fusion.hidden_size // len(_ORDER)
    pieces = []
    for name in _ORDER:
        if name not in states:
            pieces.append(torch.zeros(1, fusion.steps, third))
            continue
        steps = _steps(fusion, states[name], over_time=name == "audio")
        weight, bias = read(f"projectors.{name}.weight"), read(f"projectors.{name}.bias")
        pieces.append(linear(steps, weight, bias))
    hidden = torch.cat(pieces, dim=-1) + read("time_pos_embed")[:, : fusion.steps]
    for layer in range(2 * fusion.num_layers):
        start = f"encoder.layers.{layer}"
        normed = _scaled(hidden, read(f"{start}.0.0.g"))
        if layer % 2:
            wide = linear(normed, read(f"{start}.1.ff.0.0.weight"), read(f"{start}.1.ff.0.0.bias"))
            out = linear(gelu(wide), read(f"{start}.1.ff.2.weight"), read(f"{start}.1.ff.2.bias"))
        else:
            query, key, value = (
                linear(normed, read(f"{start}.1.{name}.weight"))
                for name in ("to_q", "to_k", "to_v")
            )
            mixed = _attended(query, key, value, fusion.num_heads)
            out = linear(mixed, read(f"{start}.1.to_out.weight"))
        hidden = out + hidden * read(f"{start}.2.residual_scale")
    final = _scaled(hidden, read("encoder.final_norm.g"))
    return linear(final, read("low_rank_head.weight")).mean(dim=1)


def _steps(fusion: LowRank, states: list[Tensor], over_time: bool) -> Tensor:
    """(1, steps, groups · width); what has no time of its own stands at every step."""
    stacked = torch.stack(states)
    groups = [stacked[a:b].mean(dim=0) for a, b in fusion.bounds(len(states) - 1)]
    beside = torch.cat(groups, dim=-1)
    if not over_time:
        return beside.mean(dim=1, keepdim=True).expand(-1, fusion.steps, -1)
    tokens = beside.shape[1]
    stretches = [
        beside[:, tokens * at // fusion.steps : tokens * (at + 1) // fusion.steps].mean(dim=1)
        for at in range(fusion.steps)
    ]
    return torch.stack(stretches, dim=1)


def _scaled(hidden: Tensor, gain: Tensor) -> Tensor:
    scaled: Tensor = normalize(hidden, dim=-1) * hidden.shape[-1] ** 0.5 * gain
    return scaled


def _attended(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    split = (*query.shape[:2], heads, -1)
    asked, offered, given = (part.reshape(split).transpose(1, 2) for part in (query, key, value))
    mixed = scaled_dot_product_attention(_rotated(asked), _rotated(offered), given)
    return mixed.transpose(1, 2).flatten(2)


def _rotated(states: Tensor) -> Tensor:
    """Complex products over the two halves of the first half of a head."""
    width = max(states.shape[-1] // 2, 32)
    places = torch.arange(states.shape[-2], dtype=torch.float64)
    omega = 10000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    turns = torch.polar(torch.ones(1, dtype=torch.float64), torch.outer(places, omega))
    first, second = states[..., :width].double().chunk(2, dim=-1)
    spun = torch.complex(first, second) * turns
    head = torch.cat((spun.real, spun.imag), dim=-1).to(states.dtype)
    return torch.cat((head, states[..., width:]), dim=-1)
