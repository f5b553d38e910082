"""The graph that runs every tick: fusion of what changed, then the head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neon_edge.build.fold import ErfGelu, decoders_of, folded
from neon_edge.build.fold_dit import DitModulation
from neon_edge.build.fold_flow import TERMS, FoldedFlow
from neon_edge.build.token_steps import FastTail, JepaTail
from neon_edge.checkpoint.networks.dit import DitHead
from neon_edge.checkpoint.networks.ensemble import EnsembleHead
from neon_edge.checkpoint.networks.fast import FastHead
from neon_edge.checkpoint.networks.flow import FlowHead
from neon_edge.checkpoint.networks.heads import NeonHeads
from neon_edge.checkpoint.networks.jepa import JepaHead

SLOW_SENSORS = ("audio", "lidar", "depth", "segmentation")
"""Sensors whose encoders cost more than the heads and whose readings change less often."""


class TickHeads(nn.Module):
    """Everything that must run every tick, on the terms that the slow graphs left.

    Makes `chunk`; or, for a dit, what the host needs to make it: `modulation` for every step, and
    `base` and `gain` of chunk = base + gain * tanh(x).
    """

    rest: Tensor
    half_range: Tensor
    middle: Tensor

    def __init__(self, heads: NeonHeads, tail: nn.Module, inputs: list[str]) -> None:
        super().__init__()
        self.inputs = inputs
        self.terms = [name for name in inputs if name.endswith("_term")]
        self.relative = heads.relative
        fast = {name: e for name, e in heads.encoders.items() if name not in SLOW_SENSORS}
        self.encoders = nn.ModuleDict(fast)
        if fast:
            shares = fusion_shares(heads)
            self.register_buffer("rest", torch.cat([shares[name] for name in fast], dim=1).T)
        self.gelu = ErfGelu()
        self.tail = tail
        self.register_buffer("half_range", heads.half_range)
        self.register_buffer("middle", heads.middle)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Inputs in the order of `inputs`, outputs in the graph's order."""
        named = dict(zip(self.inputs, tensors, strict=True))
        features = self.gelu(self._fused(named))
        origin = named["joints"] if self.relative else self.middle[None]
        made: tuple[Tensor, ...] = self.tail(features, named, origin, self.half_range)
        return made

    def _fused(self, named: dict[str, Tensor]) -> Tensor:
        fused = named[self.terms[0]]
        for name in self.terms[1:]:
            fused = fused + named[name]
        if len(self.encoders):
            encoded = [encoder(named[name]) for name, encoder in self.encoders.items()]
            fused = torch.addmm(fused, torch.cat(encoded, dim=-1), self.rest)
        return fused


class MlpTail(nn.Module):
    """Decoders side by side."""

    def __init__(self, decoders: list[nn.Module]) -> None:
        super().__init__()
        self.decoders = nn.ModuleList(folded(decoder) for decoder in decoders)

    def forward(
        self, features: Tensor, named: dict[str, Tensor], origin: Tensor, half_range: Tensor
    ) -> tuple[Tensor]:
        """-> chunk; only its row number `row`, where there is such an input."""
        chosen = [named["row"]] if "row" in named else []
        parts = [decoder(features, *chosen) for decoder in self.decoders]
        rows = torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0]
        return (rows * half_range + origin[None],)


class FlowTail(nn.Module):
    """All Euler steps."""

    def __init__(self, head: FlowHead, attends: bool) -> None:
        super().__init__()
        self.flow = FoldedFlow(head, attends)
        self.tokens = TERMS if attends else ()

    def forward(
        self, features: Tensor, named: dict[str, Tensor], origin: Tensor, half_range: Tensor
    ) -> tuple[Tensor]:
        """-> chunk."""
        rows = self.flow(features, named["noise"], *(named[name] for name in self.tokens))
        return ((rows * half_range + origin)[None],)


class DitTail(nn.Module):
    """The part of a dit that is the same for every step."""

    def __init__(self, head: DitHead) -> None:
        super().__init__()
        self.modulation = DitModulation(head)
        self.steps = head.pos_embed.shape[1]

    def forward(
        self, features: Tensor, named: dict[str, Tensor], origin: Tensor, half_range: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """-> modulation, base, gain."""
        rows = (1, self.steps, half_range.shape[0])
        return self.modulation(features), origin.expand(rows), half_range.expand(rows)


class EnsembleTail(nn.Module):
    """The mlp's and the flow's weighted chunks, and the weight of the dit's."""

    def __init__(self, head: EnsembleHead) -> None:
        super().__init__()
        self.mlp = folded(head.mlp_head)
        self.flow = FoldedFlow(head.flow_head, attends=False)
        self.dit = DitTail(head.dit_head)
        self.gate = head.gate

    def forward(
        self, features: Tensor, named: dict[str, Tensor], origin: Tensor, half_range: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """-> modulation, base, gain."""
        mlp, flow, dit = self.gate(features).softmax(dim=-1).chunk(3, dim=-1)
        mixed = mlp * self.mlp(features) + flow * self.flow(features, named["noise"][:1])
        modulation, base, gain = self.dit(features, named, origin, half_range)
        return modulation, base + mixed * half_range, gain * dit


def tail_of(head: nn.Module, attends: bool) -> nn.Module:
    """What makes a chunk, or what a host needs to make it, from fused features."""
    match head:
        case FlowHead():
            return FlowTail(head, attends)
        case DitHead():
            return DitTail(head)
        case EnsembleHead():
            return EnsembleTail(head)
        case FastHead():
            return FastTail(head)
        case JepaHead():
            return JepaTail(head)
        case _:
            return MlpTail(decoders_of(head))


def fusion_shares(heads: NeonHeads) -> dict[str, Tensor]:
    """The fusion layer's columns (width, n) for the output of each encoder."""
    fusion = heads.fusion[0]
    assert isinstance(fusion, nn.Linear)
    widths = {sensor.name: sensor.width for sensor in heads.sensors}
    rest = fusion.weight[:, heads.pooled_width :].detach()
    names = list(heads.encoders)
    joints = rest.shape[1] - sum(widths.values())
    sizes = [widths.get(name, joints) for name in names]
    return dict(zip(names, torch.split(rest, sizes, dim=1), strict=True)) if names else {}
