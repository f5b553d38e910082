"""The decoders' graphs: thin modules around transformers' own layers, geometry folded in.

Positions, rotary tables and the causal mask are constants, so what is left is a dozen kinds of
plain operation. The scatter of pictures into text, which asks tensors for their values while it
runs, is a concatenation here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from neon_edge.backbones.contract import Tap, TensorSource
from neon_edge.backbones.qwen_network import Network
from neon_edge.backbones.qwen_prefix import FoldedPrefix, Kept, cache_name
from neon_edge.engine.manifest import AudioGeometry, ImageGeometry, Prompt


@dataclass(frozen=True)
class DecoderGeometry:
    """What every run of decoder layers has in common."""

    image: ImageGeometry
    prompt: Prompt
    tap: Tap
    image_token: int
    audio: AudioGeometry | None = None
    audio_token: int = 0
    tokens: bool = False
    """Whether what is pooled is given out too."""

    def token_ids(self) -> list[int]:
        """The whole sequence, its padding taken for text that stands behind everything else."""
        prompt = self.prompt
        picture = [self.image_token] * self.image.picture_tokens
        ids = list(prompt.before) + picture
        for gap in prompt.between_steps(self.image.steps):
            ids += gap + picture
        ids += prompt.between + [self.audio_token] * self.sound_tokens + prompt.heard
        seen = self.image.steps * self.image.picture_tokens
        total = prompt.text_tokens + seen + self.sound_tokens
        return ids + [prompt.pad_id] * (total - len(ids))

    @property
    def sound_tokens(self) -> int:
        """Of one window of sound, if there is any."""
        return self.audio.tokens if self.audio is not None else 0

    def spans(self) -> Iterator[tuple[int, int]]:
        """Where each picture, and behind them the sound, begins and ends in the sequence."""
        place, each = len(self.prompt.before), self.image.picture_tokens
        for gap in [*self.prompt.between_steps(self.image.steps), self.prompt.between]:
            yield place, place + each
            place += each + len(gap)
        if self.audio is not None:
            yield place, place + self.audio.tokens

    def constants(self, network: Network, model: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Rotary cos and sin (1, T, head) and the additive causal mask (1, 1, T, T)."""
        ids = torch.tensor([self.token_ids()])
        cos, sin = network.rotary(model, network.positions(model, ids, self.image, self.audio))
        count = ids.shape[1]
        # Half of the lowest number: far below any score, and no infinity when it is added to one.
        never = torch.finfo(torch.float32).min / 2
        mask = torch.full((count, count), never).triu(1)
        return cos, sin, mask[None, None]


class DecoderPart(nn.Module):
    """A run of the decoder's layers, with the merge ahead or the pool behind."""

    def __init__(
        self,
        geometry: DecoderGeometry,
        constants: tuple[Tensor, Tensor, Tensor],
        layers: list[Any],
        norm: Any,
        begins: bool,
        stacked: int,
        kept: list[Kept],
        ahead: Tensor,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.kept = nn.ModuleList(kept)
        self._cache_name = cache_name(layers[0]) if kept else ""
        self.norm = norm
        self._begins = begins
        self._stacked = stacked
        self._pools = norm is not None
        folded = geometry.prompt.folded
        self._spans = [(start - folded, end - folded) for start, end in geometry.spans()]
        self._listens = geometry.audio is not None
        self._shows = geometry.tokens
        self.cos: Tensor
        self.sin: Tensor
        self.mask: Tensor
        self.ahead: Tensor
        cos, sin, mask = constants
        tables = (cos[:, folded:], sin[:, folded:], mask[:, :, folded:], ahead)
        for name, table in zip(("cos", "sin", "mask", "ahead"), tables, strict=True):
            self.register_buffer(name, table)

    def forward(self, *tensors: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """What `PartPlan` lists: what it begins with, deepstack features, pool_weights at the end.

        It begins with (image_embeds, audio_embeds where there is sound, text_embeds) or hidden.
        """
        first = 1 if not self._begins else 3 if self._listens else 2
        hidden, added = tensors[0], tensors[first:]
        if self._begins:
            hidden = self._merge(torch.cat(tensors[: first - 1], dim=1), tensors[first - 1])
        for index, layer in enumerate(self.layers):
            hidden = layer(
                hidden,
                attention_mask=self.mask,
                position_embeddings=(self.cos, self.sin),
                **({self._cache_name: self.kept[index]} if len(self.kept) else {}),
            )
            if index < self._stacked:
                hidden = self._stack(hidden, added[index])
        if not self._pools:
            return hidden
        rows = self.norm(hidden)
        if len(self.kept):
            rows = torch.cat([self.ahead, rows], dim=1)
        pooled = torch.matmul(tensors[-1].unsqueeze(1), rows).squeeze(1)
        return (pooled, rows) if self._shows else pooled

    def _merge(self, media: Tensor, text: Tensor) -> Tensor:
        pieces: list[Tensor] = []
        seen = place = 0
        for start, end in self._spans:
            # Of the sequence so far, what is neither picture nor sound is text.
            pieces.append(text[:, place : start - seen])
            pieces.append(media[:, seen : seen + end - start])
            place, seen = start - seen, seen + end - start
        return _joined([*pieces, text[:, place:]])

    def _stack(self, hidden: Tensor, pictures: Tensor) -> Tensor:
        pieces: list[Tensor] = []
        seen = place = 0
        for start, end in self._spans:
            pieces.append(hidden[:, place:start])
            pieces.append(hidden[:, start:end] + pictures[:, seen : seen + end - start])
            place, seen = end, seen + end - start
        return _joined([*pieces, hidden[:, place:]])


def _joined(pieces: list[Tensor]) -> Tensor:
    """Behind a folded prefix nothing stands ahead of the first picture."""
    return torch.cat([piece for piece in pieces if piece.shape[1]], dim=1)


def decoder_part(
    network: Network,
    geometry: DecoderGeometry,
    run: tuple[int, int],
    stacked: int,
    prefix: FoldedPrefix | None,
    source: TensorSource,
) -> nn.Module:
    """Layers `run[0]` up to, not including, `run[1]`, with their weights."""
    whole = network.empty()
    model = whole.language_model
    first, last = run
    layers = [
        network.filled(model.layers[index], f"language_model.layers.{index}.", source)
        for index in range(first, last)
    ]
    norm = None
    if last == len(model.layers):
        post = geometry.tap == "post_norm"
        norm = network.filled(model.norm, "language_model.norm.", source) if post else nn.Identity()
    constants = geometry.constants(network, whole)
    behind = max(0, min(last, stacked) - first)
    kept, ahead = [], torch.empty(0)
    if prefix is not None:
        kept = prefix.through(model, run, constants, source)
        ahead = norm(prefix.hidden) if norm is not None else ahead
    return DecoderPart(geometry, constants, layers, norm, first == 0, behind, kept, ahead).eval()
