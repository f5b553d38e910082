"""The `flow` head: rectified flow from noise to a chunk in a few Euler steps.

`FlowMatchingHead` in `neon/model/action_heads.py`; Liu et al., arXiv 2209.03003.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neon_edge.checkpoint.networks.attention import Attention
from neon_edge.checkpoint.networks.blocks import ReluSquared, RmsNorm, numbered

CROSS_HEADS = 4


class FlowHead(nn.Module):
    """A velocity field over whole chunks, integrated from t = 0 (noise) to 1.

    `token_width` is that of the backbone's token sequence if the head has cross-attention. Upstream
    builds and saves that layer, and its `sample`, its `predict` and its loss never hand it tokens:
    without `tokens` this head does what upstream does.
    """

    def __init__(
        self,
        inputs: int,
        columns: int,
        steps: int,
        hidden: int,
        layers: int,
        denoise_steps: int,
        token_width: int | None = None,
    ) -> None:
        super().__init__()
        self.columns = columns
        self.denoise_steps = denoise_steps
        flat = columns * steps
        self.time_embed = numbered(
            _0=nn.Linear(1, hidden), _1=nn.SiLU(), _2=nn.Linear(hidden, hidden)
        )
        self.feature_proj = numbered(
            _0=nn.Linear(inputs, hidden), _1=RmsNorm(hidden), _2=ReluSquared()
        )
        self.action_proj = numbered(
            _0=nn.Linear(flat, hidden), _1=RmsNorm(hidden), _2=ReluSquared()
        )
        if token_width is not None:
            same = token_width == hidden
            self.cross_attn_norm = RmsNorm(hidden)
            self.cross_kv_proj = nn.Identity() if same else nn.Linear(token_width, hidden)
            self.cross_attn = Attention(hidden, CROSS_HEADS)
            self.cross_attn_gate = nn.Parameter(torch.zeros(1))
        self.blocks = nn.ModuleList(
            numbered(_0=RmsNorm(3 * hidden), _1=nn.Linear(3 * hidden, hidden), _2=ReluSquared())
            for _ in range(layers)
        )
        self.out_proj = nn.Linear(hidden, flat)
        self.residual_scales = nn.ParameterList(torch.ones(1) for _ in range(layers))

    @property
    def crossed(self) -> int:
        """The block behind which tokens are attended to."""
        return len(self.blocks) // 2

    def velocity(self, x: Tensor, time: float, features: Tensor, tokens: Tensor | None) -> Tensor:
        """(batch, steps * columns) at `time` in [0, 1] -> its velocity, of the same shape."""
        moment = self.time_embed(torch.full((len(x), 1), time))
        seen = self.feature_proj(features)
        row: Tensor = self.action_proj(x)
        for at, block in enumerate(self.blocks):
            row = block(torch.cat([row, moment, seen], dim=-1)) + self.residual_scales[at] * row
            if tokens is not None and at == self.crossed:
                query = self.cross_attn_norm(row)[:, None]
                attended = self.cross_attn(query, self.cross_kv_proj(tokens))
                row = row + self.cross_attn_gate * attended[:, 0]
        velocity: Tensor = self.out_proj(row)
        return velocity

    def forward(self, features: Tensor, noise: Tensor, tokens: Tensor | None = None) -> Tensor:
        """(batch, inputs), noise (batch, 1, steps, columns) -> (batch, steps, columns)."""
        x = noise.reshape(len(features), -1)
        stride = 1.0 / self.denoise_steps
        for step in range(self.denoise_steps):
            x = x + self.velocity(x, step * stride, features, tokens) * stride
        return torch.tanh(x.reshape(len(x), -1, self.columns))
