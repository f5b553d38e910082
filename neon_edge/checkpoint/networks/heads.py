"""Everything behind the pooled features: encoders, fusion, action head, denormalisation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neon_edge.checkpoint.actions import ActionSpace
from neon_edge.checkpoint.config import NeonConfig
from neon_edge.checkpoint.networks.blocks import numbered
from neon_edge.checkpoint.networks.build import DRAWS, RelativeHead, action_head
from neon_edge.checkpoint.networks.encoders import VectorEncoder, declared_sensors, sensor_encoder
from neon_edge.checkpoint.refuse import separate_widths
from neon_edge.engine.action_tokens import ActionTokens


class NeonHeads(nn.Module):
    """Pooled features, joint state and sensors in; a chunk in rad and SI velocities out.

    Parameter names are upstream's, key for key. Joint state is raw: positions in rad, then the
    measured base velocity where the action space has one.
    """

    middle: Tensor
    half_range: Tensor

    def __init__(
        self,
        config: NeonConfig,
        actions: ActionSpace,
        picture: int,
        relative: bool = False,
        tokens: ActionTokens | None = None,
    ) -> None:
        super().__init__()
        self.relative = relative
        draws = DRAWS[config.action_head_type]
        self.noise_shape = (draws, config.steps, actions.action_dim) if draws else None
        self.sensors = declared_sensors(config, picture)
        self.pooled_width = width = fused = config.pooled_width
        self.proprio_encoder: VectorEncoder | None = None
        if config.use_proprioception:
            hidden = config.proprioception_hidden
            self.proprio_encoder = VectorEncoder(actions.action_dim, hidden)
            fused += 2 * hidden
        for sensor in self.sensors:
            self.add_module(sensor.module, sensor_encoder(sensor))
            fused += sensor.width
        self.fusion = numbered(_0=nn.Linear(fused, width), _1=nn.GELU())
        widths = separate_widths(config, actions)
        head = action_head(config, actions.action_dim, widths, tokens)
        self.action_head = RelativeHead(head) if relative else head
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

    def forward(self, pooled: Tensor, joints: Tensor, **others: Tensor) -> Tensor:
        """(1, width), (1, action_dim), others by name -> (1, steps, action_dim).

        Others: every declared sensor; `noise` (1, *noise_shape) where the head samples; `tokens`
        (1, n, token width) to use a flow head's cross-attention, which upstream never does.
        """
        sampled = [others.pop(name) for name in ("noise", "tokens") if name in others]
        chunk: Tensor = self.action_head(self.fused(pooled, joints, **others), *sampled)
        if self.relative:
            # Upstream's wrapper adds in normalised units, where the centre of a range cancels.
            return joints[:, None] + chunk * self.half_range
        return self.denormalised(chunk)

    def denormalised(self, chunk: Tensor) -> Tensor:
        """[-1, 1] -> rad, m/s and rad/s, column by column."""
        return chunk * self.half_range + self.middle
