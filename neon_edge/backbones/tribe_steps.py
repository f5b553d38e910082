"""Encoders as TRIBE v2 reads them: means of groups of hidden states, and means over time.

    hidden states 0 … L ─ mean of each group ─▶ mean over tokens ─▶ (1, steps, groups · width)

A run of layers adds its share to sums that pass from part to part, so that a group may lie across
parts. Hidden state k is what stands ahead of layer k; the last is as transformers hands it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from neon_edge.backbones.tribe_encoders import EncoderPart

Group = tuple[int, int]


class SteppedPart(nn.Module):
    """One run of layers, and its share of every group.

    Takes hidden states, `text_weights` (1, tokens) of a padded text, and behind the first run the
    sums (1, groups, steps, width). Gives hidden states and sums, or behind the last run
    (1, steps, groups · width).
    """

    def __init__(
        self,
        part: EncoderPart,
        run: tuple[int, int],
        layers: int,
        groups: Sequence[Group],
        steps: int,
        normed: bool,
    ) -> None:
        super().__init__()
        self.part = part
        self._first, self._last = run
        self._ends = self._last == layers
        self._groups = groups
        self._steps = steps
        self._normed = normed

    def forward(self, given: Tensor, *more: Tensor) -> Any:
        """The run; see the class for what goes in and comes out."""
        weights, sums = _sorted_out(more, self._first)
        hidden = self.part.enter(given)
        shares: list[list[Tensor]] = [[] for _ in self._groups]
        for number, layer in enumerate(self.part.layers, self._first):
            self._share(number, hidden, weights, shares)
            hidden = self.part.advance(layer, hidden)
        if self._ends:
            # V-JEPA2's last hidden state is the one ahead of its norm.
            final = self.part.leave(hidden) if self._normed else hidden
            self._share(self._last, final, weights, shares)
        width = hidden.shape[-1]
        nothing = torch.zeros(1, self._steps, width)
        added = torch.stack([sum(share, start=nothing) for share in shares], dim=1)
        if sums is not None:
            added = added + sums
        if not self._ends:
            return hidden, added
        return added.transpose(1, 2).reshape(1, self._steps, len(self._groups) * width)

    def _share(
        self, number: int, hidden: Tensor, weights: Tensor | None, shares: list[list[Tensor]]
    ) -> None:
        within = [place for place, (low, high) in enumerate(self._groups) if low <= number < high]
        if not within:
            return
        means = _over_time(hidden, weights, self._steps)
        for place in within:
            low, high = self._groups[place]
            shares[place].append(means * (1.0 / (high - low)))


def _sorted_out(more: Sequence[Tensor], first: int) -> tuple[Tensor | None, Tensor | None]:
    weights = next((one for one in more if one.ndim == 2), None)
    return weights, more[-1] if first else None


def _over_time(hidden: Tensor, weights: Tensor | None, steps: int) -> Tensor:
    """(1, tokens, width) → (1, steps, width): means of equal stretches of tokens."""
    if weights is not None:
        return (hidden * weights.unsqueeze(-1)).sum(dim=1, keepdim=True)
    tokens = hidden.shape[1]
    cuts = [tokens * step // steps for step in range(steps + 1)]
    stretches = [hidden[:, low:high].mean(dim=1) for low, high in pairwise(cuts)]
    return torch.stack(stretches, dim=1)
