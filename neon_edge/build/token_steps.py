"""The graphs of the heads that a host finishes: token by token, or when an embedding has moved."""

from __future__ import annotations

from torch import Tensor, nn

from neon_edge.build.fold import folded
from neon_edge.checkpoint.networks.fast import FastHead
from neon_edge.checkpoint.networks.jepa import JepaHead, unit


class FastTail(nn.Module):
    """What is the same for every token."""

    def __init__(self, head: FastHead) -> None:
        super().__init__()
        self.head = FastStart(head)
        self.steps = head.tokens.shape[0]

    def forward(
        self, features: Tensor, named: dict[str, Tensor], origin: Tensor, half_range: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """-> state, seen, base, gain."""
        rows = (1, self.steps, half_range.shape[0])
        state, seen = self.head(features)
        return state, seen, origin.expand(rows), half_range.expand(rows)


class FastStart(nn.Module):
    """`FastHead.begin` with its own two layers and none of the others."""

    def __init__(self, head: FastHead) -> None:
        super().__init__()
        self.seen = head.seen
        self.first_state = head.first_state
        self.shape = (1, len(head.cells), head.hidden)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(1, inputs) -> state (1, layers, hidden), seen (1, hidden)."""
        return self.first_state(features).tanh().reshape(self.shape), self.seen(features)


class FastStep(nn.Module):
    """One token."""

    def __init__(self, head: FastHead) -> None:
        super().__init__()
        self.head = head

    def forward(
        self, token: Tensor, place: Tensor, seen: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor]:
        """int32 (1,) twice, (1, hidden), (1, layers, hidden) -> scores, next."""
        return self.head.step(token, place, seen, state)


class JepaTail(nn.Module):
    """The predictor: it runs every tick."""

    def __init__(self, head: JepaHead) -> None:
        super().__init__()
        self.predictor = head.predictor
        self.steps = head.decoder.step_embed.num_embeddings

    def forward(
        self, features: Tensor, named: dict[str, Tensor], origin: Tensor, half_range: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """-> embedding, base, gain."""
        rows = (1, self.steps, half_range.shape[0])
        return unit(self.predictor(features)), origin.expand(rows), half_range.expand(rows)


class JepaDecoder(nn.Module):
    """The decoder: it runs when the embedding has moved."""

    def __init__(self, head: JepaHead) -> None:
        super().__init__()
        self.decoder = folded(head.decoder)

    def forward(self, embedding: Tensor) -> Tensor:
        """(1, embedding) -> latent (1, steps, columns) in [-1, 1]."""
        rows: Tensor = self.decoder(embedding)
        return rows[None]
