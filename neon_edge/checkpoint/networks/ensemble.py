"""The `ensemble` head: a learned gate over one mlp, one flow and one dit head."""

from __future__ import annotations

from torch import Tensor, nn

from neon_edge.checkpoint.networks.dit import DitHead
from neon_edge.checkpoint.networks.flow import FlowHead
from neon_edge.checkpoint.networks.mlp import ChunkingHead

GATE_HIDDEN = 64


class EnsembleHead(nn.Module):
    """Three chunks, weighted by a softmax over the features."""

    def __init__(self, inputs: int, mlp: ChunkingHead, flow: FlowHead, dit: DitHead) -> None:
        super().__init__()
        self.mlp_head = mlp
        self.flow_head = flow
        self.dit_head = dit
        self.gate = nn.Sequential(
            nn.Linear(inputs, GATE_HIDDEN), nn.GELU(), nn.Linear(GATE_HIDDEN, 3)
        )

    def forward(self, features: Tensor, noise: Tensor) -> Tensor:
        """(batch, inputs), noise (batch, 2, steps, columns), flow's first -> a chunk."""
        mlp, flow, dit = self.gate(features).softmax(dim=-1)[..., None, None].unbind(1)
        chunk: Tensor = mlp * self.mlp_head(features)
        flowed: Tensor = self.flow_head(features, noise[:, :1])
        denoised: Tensor = self.dit_head(features, noise[:, 1:])
        mixed: Tensor = chunk + flow * flowed + dit * denoised
        return mixed
