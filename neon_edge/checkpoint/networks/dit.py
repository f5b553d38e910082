"""The `dit` head: a small diffusion transformer over the rows of a chunk.

`DiTActionHead` and `DiTBlock` in `neon/model/action_heads.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neon_edge.checkpoint.networks.attention import Attention
from neon_edge.checkpoint.networks.blocks import ReluSquared, RmsNorm, numbered

SMALLEST_ALPHA = 1e-5


class DitBlock(nn.Module):
    """Self-attention and an MLP, each scaled, shifted and gated by the condition."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.norm1 = RmsNorm(hidden)
        self.attn = Attention(hidden, heads)
        self.norm2 = RmsNorm(hidden)
        self.mlp = numbered(
            _0=nn.Linear(hidden, 4 * hidden), _1=ReluSquared(), _3=nn.Linear(4 * hidden, hidden)
        )
        self.adaLN = numbered(_0=nn.SiLU(), _1=nn.Linear(hidden, 6 * hidden))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(batch, steps, hidden), (batch, hidden) -> (batch, steps, hidden)."""
        modulation = self.adaLN(condition)[:, None].chunk(6, dim=-1)
        scale, shift, gate, mlp_scale, mlp_shift, mlp_gate = modulation
        seen = self.norm1(x) * (1 + scale) + shift
        attended: Tensor = self.attn(seen, seen)
        x = x + gate * attended
        mixed: Tensor = self.mlp(self.norm2(x) * (1 + mlp_scale) + mlp_shift)
        moved: Tensor = x + mlp_gate * mixed
        return moved


class DitHead(nn.Module):
    """Predicts the noise in a chunk; a DDIM-like update walks from noise (t = 0) to actions (1)."""

    def __init__(
        self,
        inputs: int,
        columns: int,
        steps: int,
        hidden: int,
        layers: int,
        heads: int,
        denoise_steps: int,
    ) -> None:
        super().__init__()
        self.denoise_steps = denoise_steps
        self.action_embed = nn.Linear(columns, hidden)
        self.pos_embed = nn.Parameter(torch.zeros(1, steps, hidden))
        self.time_embed = numbered(
            _0=nn.Linear(1, hidden), _1=nn.SiLU(), _2=nn.Linear(hidden, hidden)
        )
        self.cond_proj = numbered(
            _0=nn.Linear(inputs, hidden), _1=RmsNorm(hidden), _2=ReluSquared()
        )
        self.blocks = nn.ModuleList(DitBlock(hidden, heads) for _ in range(layers))
        self.final_norm = RmsNorm(hidden)
        self.out_proj = nn.Linear(hidden, columns)

    @property
    def times(self) -> list[float]:
        """Where the noise is predicted, and the end: float32 values in [0, 1]."""
        return [float(t) for t in torch.linspace(0, 1, self.denoise_steps + 1)]

    def predicted_noise(self, x: Tensor, time: float, features: Tensor) -> Tensor:
        """(batch, steps, columns) at `time` -> the noise in it, of the same shape."""
        row: Tensor = self.action_embed(x) + self.pos_embed
        condition = self.cond_proj(features) + self.time_embed(torch.full((len(x), 1), time))
        for block in self.blocks:
            row = block(row, condition)
        noise: Tensor = self.out_proj(self.final_norm(row))
        return noise

    def forward(self, features: Tensor, noise: Tensor) -> Tensor:
        """(batch, inputs), noise (batch, 1, steps, columns) -> (batch, steps, columns).

        The first update divides by 1e-5: an error of the first prediction grows by five orders of
        magnitude on its way to the chunk.
        """
        x = noise[:, 0]
        times = torch.tensor(self.times)
        for step in range(self.denoise_steps):
            now, then = times[step], times[step + 1]
            predicted = self.predicted_noise(x, float(now), features)
            clean = (x - (1.0 - now) * predicted) / now.clamp(min=SMALLEST_ALPHA)
            x = then * clean + (1.0 - then) * predicted
        return torch.tanh(x)
