"""The tokens ahead of the first picture: no pass changes them, so they are constants in the graphs.

    | system, user | picture | …      keys and values of the first box are made with a part;
      folded         every pass       attention finds them in front of the pass's own

Attention is causal, so nothing behind these tokens reaches them: a folded pass equals a full one
up to rounding. Behind them stands a picture, which changes with every pass, and so does all that
follows.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from neon_edge.backbones.contract import TensorSource
from neon_edge.backbones.qwen_network import Network


class Kept(nn.Module):
    """Keys and values (1, heads, folded tokens, head) of a layer, for transformers a cache."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.keys: Tensor
        self.values: Tensor
        self.register_buffer("keys", keys)
        self.register_buffer("values", values)

    def update(
        self, keys: Tensor, values: Tensor, *_place: object, **_more: object
    ) -> tuple[Tensor, Tensor]:
        """What the layer attends to: the kept ones, then this pass's."""
        return torch.cat([self.keys, keys], dim=2), torch.cat([self.values, values], dim=2)


def cache_name(layer: nn.Module) -> str:
    """What a decoder layer calls the argument that takes a cache: transformers 5.24 renamed it."""
    named = "cache" in inspect.signature(layer.forward).parameters
    return "cache" if named else "past_key_values"


class FoldedPrefix:
    """Hidden states (1, folded tokens, width), carried from one run of layers to the next."""

    def __init__(self, network: Network, embedding: str, ids: list[int]) -> None:
        self._network = network
        self._embedding = embedding
        self._ids = ids
        self._source: TensorSource | None = None
        self._layer = 0
        self.hidden = torch.empty(0)

    def through(
        self,
        model: Any,
        run: tuple[int, int],
        constants: tuple[Tensor, Tensor, Tensor],
        source: TensorSource,
    ) -> list[Kept]:
        """What layers `run[0]` up to `run[1]` keep; `hidden` is then what follows the last.

        `model` is the decoder, its layers of this run filled; `constants` are rotary cos and sin
        and the causal mask of the whole sequence.
        """
        first, last = run
        if self._source is not source or self._layer > first:
            self._source, self._layer = source, 0
            self.hidden = source.tensor(self._embedding)[self._ids][None]
        while self._layer < first:
            # A build that was interrupted goes on behind parts whose layers nobody has run yet.
            layer = model.layers[self._layer]
            self._network.filled(layer, f"language_model.layers.{self._layer}.", source)
            self._pass(layer, constants)
            layer.to("meta")
        return [self._pass(model.layers[index], constants) for index in range(first, last)]

    def _pass(self, layer: Any, constants: tuple[Tensor, Tensor, Tensor]) -> Kept:
        count = len(self._ids)
        cos, sin, mask = constants
        noted = _Noted()
        with torch.no_grad():
            self.hidden = layer(
                self.hidden,
                attention_mask=mask[:, :, :count, :count],
                position_embeddings=(cos[:, :count], sin[:, :count]),
                **{cache_name(layer): noted},
            )
        self._layer += 1
        return Kept(noted.keys, noted.values)


class _Noted:
    """A cache that only listens."""

    def update(
        self, keys: Tensor, values: Tensor, *_place: object, **_more: object
    ) -> tuple[Tensor, Tensor]:
        self.keys, self.values = keys, values
        return keys, values
