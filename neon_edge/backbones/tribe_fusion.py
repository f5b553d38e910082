"""Upstream's fusion of TRIBE's encoders as a graph: the package neon-vla, `tribe_backbone.py`."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, linear

from neon_edge.backbones.contract import TensorSource
from neon_edge.backbones.tribe import MODALITIES, TribeConfig

_WIDENS = 4


class FusionPart(nn.Module):
    """Features of the kept modalities and `pool_weights` (1, tokens) → pooled (1, width).

    Parameters are named as upstream's `TribeMultimodalBackbone` names them.
    """

    def __init__(self, config: TribeConfig) -> None:
        super().__init__()
        fusion, width = config.fusion, config.fusion.hidden_size
        kept = config.kept()
        self._heads = fusion.num_heads
        self._names = [name for name in MODALITIES if kept[name]]
        self.projectors = nn.ModuleDict(
            {
                name: nn.ModuleDict(
                    {
                        "net": nn.Sequential(
                            nn.Linear(config.widths[name], width), nn.LayerNorm(width)
                        )
                    }
                )
                for name in MODALITIES
            }
        )
        block = nn.TransformerEncoderLayer(
            width,
            fusion.num_heads,
            width * _WIDENS,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        encoder = nn.TransformerEncoder(block, fusion.num_layers, enable_nested_tensor=False)
        self.fusion = nn.ParameterDict(
            {"time_pos_embed": nn.Parameter(torch.zeros(1, fusion.max_seq_len, width))}
        )
        self.fusion_encoder = encoder
        self.fusion_modality = nn.Embedding(len(MODALITIES), width)
        self.fusion_norm = nn.LayerNorm(width)
        for name in self._names:
            self.register_buffer(f"{name}_places", torch.tensor(kept[name]))

    def forward(self, *tensors: Tensor) -> Tensor:
        """Project, name, place, attend, norm, and take the mean of what counts."""
        pieces = []
        for name, features in zip(self._names, tensors[:-1], strict=True):
            chosen = features.index_select(1, cast("Tensor", getattr(self, f"{name}_places")))
            net = cast("nn.ModuleDict", self.projectors[name])["net"]
            kind = self.fusion_modality.weight[MODALITIES.index(name)]
            pieces.append(gelu(net(chosen)) + kind)
        hidden = torch.cat(pieces, dim=1)
        hidden = hidden + self.fusion["time_pos_embed"][:, : hidden.shape[1]]
        weights = tensors[-1]
        # Half of the lowest number: far below any score, and no infinity when it is added to one.
        never = torch.finfo(torch.float32).min / 2
        mask = ((weights == 0).to(torch.float32) * never)[:, None, None]
        for block in self.fusion_encoder.layers:
            hidden = hidden + self._attend(block.self_attn, block.norm1(hidden), mask)
            hidden = hidden + block.linear2(gelu(block.linear1(block.norm2(hidden))))
        return torch.matmul(weights.unsqueeze(1), self.fusion_norm(hidden)).squeeze(1)

    def _attend(self, attention: Any, hidden: Tensor, mask: Tensor) -> Tensor:
        width = hidden.shape[-1]
        mixed = linear(hidden, attention.in_proj_weight, attention.in_proj_bias)
        split = (*hidden.shape[:2], 3, self._heads, width // self._heads)
        query, key, value = mixed.reshape(split).permute(2, 0, 3, 1, 4).unbind(0)
        scores = torch.matmul(query, key.transpose(-1, -2)) * (width // self._heads) ** -0.5
        seen = torch.matmul(torch.softmax(scores + mask, dim=-1), value)
        return cast("Tensor", attention.out_proj(seen.transpose(1, 2).flatten(2)))


_UPSTREAM = {
    "fusion_encoder.": "fusion.encoder.",
    "fusion_modality.": "fusion.modality_embed.",
    "fusion_norm.": "fusion.output_norm.",
}


def upstream_name(name: str) -> str:
    """A parameter of `FusionPart` as `TribeMultimodalBackbone` names it."""
    for ours, theirs in _UPSTREAM.items():
        if name.startswith(ours):
            return theirs + name[len(ours) :]
    return name


def fusion_shapes(config: TribeConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of `TribeMultimodalBackbone`'s own tensors."""
    with torch.device("meta"):
        part = FusionPart(config)
    return {upstream_name(name): tuple(p.shape) for name, p in part.named_parameters()}


def fusion_part(config: TribeConfig, source: TensorSource) -> nn.Module:
    """Projectors and transformer with the weights of a Neon checkpoint."""
    with torch.device("meta"):
        part = FusionPart(config)
    state = {name: source.tensor(upstream_name(name)) for name, _ in part.named_parameters()}
    part.load_state_dict(state, strict=False, assign=True)
    for name, places in config.kept().items():
        if places:
            setattr(part, f"{name}_places", torch.tensor(places))
    return part.eval().requires_grad_(False)
