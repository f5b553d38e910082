"""Everything behind the pooled features: encoders, fusion, action head, denormalisation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neon_edge.checkpoint.actions import ActionSpace
from neon_edge.checkpoint.config import NeonConfig
from neon_edge.checkpoint.networks.blocks import numbered
from neon_edge.checkpoint.networks.encoders import VectorEncoder, declared_sensors, sensor_encoder
from neon_edge.checkpoint.networks.mlp import (
    ChunkingHead,
    MlpDecoder,
    SeparateHeads,
    SingleHead,
)
from neon_edge.checkpoint.refuse import separate_widths
from neon_edge.errors import ConfigWrong


class NeonHeads(nn.Module):
    """Pooled features, joint state and sensors in; a chunk in rad and SI velocities out.

    Parameter names are upstream's, key for key. Joint state is raw: positions in rad, then the
    measured base velocity where the action space has one.
    """

    middle: Tensor
    half_range: Tensor

    def __init__(self, config: NeonConfig, actions: ActionSpace, picture: int) -> None:
        super().__init__()
        self.sensors = declared_sensors(config, picture)
        self.pooled_width = width = fused = config.pooled_width
        self.proprio_encoder: VectorEncoder | None = None
        if config.use_proprioception:
            hidden = config.proprioception_hidden
            self.proprio_encoder = VectorEncoder(actions.action_dim, hidden)
            fused += 2 * hidden
        for sensor in self.sensors:
            self.add_module(sensor.module, sensor_encoder(sensor))
            fused += 2 * sensor.hidden
        self.fusion = numbered(_0=nn.Linear(fused, width), _1=nn.GELU())
        self.action_head = _action_head(config, actions, width)
        self.register_buffer("middle", torch.tensor(actions.middle), persistent=False)
        self.register_buffer("half_range", torch.tensor(actions.half_range), persistent=False)

    @property
    def encoders(self) -> dict[str, nn.Module]:
        """Encoders by the name of their input, in fusion order; joint state first."""
        named: dict[str, nn.Module] = {}
        if self.proprio_encoder is not None:
            named["joints"] = self.proprio_encoder
        named.update({sensor.name: getattr(self, sensor.module) for sensor in self.sensors})
        return named

    def fused(self, pooled: Tensor, joints: Tensor, **sensors: Tensor) -> Tensor:
        """(1, width), (1, action_dim), sensors -> what the action head is conditioned on."""
        seen = {"joints": joints, **sensors}
        encoded = [encoder(seen[name]) for name, encoder in self.encoders.items()]
        fused: Tensor = self.fusion(torch.cat([pooled, *encoded], dim=-1))
        return fused

    def forward(self, pooled: Tensor, joints: Tensor, **sensors: Tensor) -> Tensor:
        """(1, width), (1, action_dim), sensors by name -> (1, steps, action_dim)."""
        return self.denormalised(self.action_head(self.fused(pooled, joints, **sensors)))

    def denormalised(self, chunk: Tensor) -> Tensor:
        """[-1, 1] -> rad, m/s and rad/s, column by column."""
        return chunk * self.half_range + self.middle


def _action_head(config: NeonConfig, actions: ActionSpace, width: int) -> nn.Module:
    if config.action_head_type != "mlp":
        raise ConfigWrong(
            f"action head {config.action_head_type!r} is not supported yet",
            "supported: mlp",
            "deploy a checkpoint with an mlp head",
        )
    if not config.use_separate_heads:
        return SingleHead(_decoder(config, width, actions.action_dim))
    return SeparateHeads(
        {
            name: _separate_decoder(config, name, width, outputs)
            for name, outputs in separate_widths(config, actions).items()
        }
    )


def _decoder(config: NeonConfig, width: int, outputs: int) -> ChunkingHead | MlpDecoder:
    if config.use_action_chunking:
        return ChunkingHead(width, outputs, config.num_action_steps, config.mlp_hidden)
    return MlpDecoder(width, outputs, config.mlp_hidden, config.action_head_layers)


def _separate_decoder(
    config: NeonConfig, name: str, width: int, outputs: int
) -> ChunkingHead | MlpDecoder:
    if name in ("arms", "legs"):
        return _decoder(config, width, outputs)
    hidden = config.mlp_hidden // 2
    if config.use_action_chunking:
        return ChunkingHead(width, outputs, config.num_action_steps, hidden)
    return MlpDecoder(width, outputs, hidden, layers=2)
