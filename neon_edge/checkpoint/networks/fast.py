"""The `fast` head: a small recurrent network that writes a chunk as FAST action tokens.

neon-vla 0.1.5 has no such head: names and shapes are ours, in neon_edge/heads/README.md. One layer
is a gated recurrent unit (Cho et al., arXiv 1406.1078), so that a step costs the same at the first
token and at the last and its state has a fixed shape.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from neon_edge.engine.action_tokens import ActionTokens
from neon_edge.engine.spelling import Spelling


class GatedCell(nn.Module):
    """One gated recurrent unit: (batch, hidden) and its state -> its next state."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.input = nn.Linear(hidden, 3 * hidden)
        self.state = nn.Linear(hidden, 3 * hidden)

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        """(batch, hidden) twice -> (batch, hidden)."""
        reset, keep, fresh = self.input(x).chunk(3, dim=-1)
        old_reset, old_keep, old_fresh = self.state(state).chunk(3, dim=-1)
        keep = torch.sigmoid(keep + old_keep)
        fresh = torch.tanh(fresh + torch.sigmoid(reset + old_reset) * old_fresh)
        following: Tensor = keep * state + (1 - keep) * fresh
        return following


class FastHead(nn.Module):
    """Features -> tokens, one at a time, greedily -> a chunk.

    A step sees the token before it, how many coefficients are written, and the features. Score
    number `tokens.size` ends the chunk; as a token it begins one.
    """

    def __init__(
        self, inputs: int, tokens: ActionTokens, hidden: int, layers: int, budget: int
    ) -> None:
        super().__init__()
        self.tokens = tokens
        self.budget = budget
        self.hidden = hidden
        self.seen = nn.Linear(inputs, hidden)
        self.first_state = nn.Linear(inputs, layers * hidden)
        self.token_embed = nn.Embedding(tokens.size + 1, hidden)
        self.place_embed = nn.Embedding(tokens.count + 1, hidden)
        self.cells = nn.ModuleList(GatedCell(hidden) for _ in range(layers))
        self.scores = nn.Linear(hidden, tokens.size + 1)

    def begin(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, inputs) -> the first state (batch, layers, hidden), seen (batch, hidden)."""
        state = torch.tanh(self.first_state(features))
        return state.reshape(len(features), len(self.cells), self.hidden), self.seen(features)

    def step(
        self, token: Tensor, place: Tensor, seen: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Token and place (batch,) -> scores (batch, tokens.size + 1) and the next state."""
        x = self.token_embed(token) + self.place_embed(place) + seen
        states = []
        for at, cell in enumerate(self.cells):
            x = cell(x, state[:, at])
            states.append(x)
        return self.scores(x), torch.stack(states, dim=1)

    def spelt(self, features: Tensor) -> Spelling:
        """What one row of features (1, inputs) makes it write."""
        spelling = Spelling(self.tokens, self.budget)
        state, seen = self.begin(features)
        while not spelling.finished:
            token, place = torch.tensor([spelling.token]), torch.tensor([spelling.place])
            scores, state = self.step(token, place, seen, state)
            spelling.take(scores[0].numpy())
        return spelling

    def forward(self, features: Tensor) -> Tensor:
        """(batch, inputs) -> (batch, steps, columns), normalised; NaN where tokens are no chunk."""
        chunks = [self.spelt(row[None]).chunk() for row in features]
        return torch.from_numpy(np.stack(chunks).astype(np.float32))
