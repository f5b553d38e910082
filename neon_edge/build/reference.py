"""The backbone as its own library runs it: what plans are verified against."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from neon_edge.backbones.contract import Batched, Sequenced
from neon_edge.build.recipe import Recipe
from neon_edge.build.tokenizer import open_tokenizer
from neon_edge.build.weights import Weights, open_weights
from neon_edge.types import AudioWindow, CameraFrame, Float32, UInt8

TOGETHER = 8
"""Moments whose activations stand in memory at a time."""


class ReferenceBackbone:
    """Pictures and an instruction → pooled features, eager, float32, no padding, no graphs of ours.

    The prompt is rendered as one text and tokenised whole. The Qwen families stream their weights.
    """

    def __init__(self, recipe: Recipe, weights: str | Weights | None = None) -> None:
        source = weights if isinstance(weights, Weights) else open_weights(weights, recipe)
        self._adaptor = recipe.adaptor
        self._tokenizer = open_tokenizer(source, recipe.adaptor)
        self._model = recipe.adaptor.reference(source)

    def token_ids(self, pictures: int, instruction: str) -> list[int]:
        """The whole sequence, the picture token once for every token of a picture."""
        template, image = self._adaptor.template, self._adaptor.image
        audio = self._adaptor.audio
        picture = template.picture * image.picture_tokens
        steps = pictures // image.depth
        text = (
            template.before
            + picture
            + "".join(gap + picture for gap in template.between_pictures(steps))
            + template.between
            + template.sound * (audio.tokens if audio is not None else 0)
            + template.heard
            + instruction
            + template.after
        )
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def pooled(
        self, frames: Sequence[CameraFrame], instruction: str, sound: AudioWindow | None = None
    ) -> Float32:
        """Pooled features (width,) float32."""
        ids = self.token_ids(len(frames), instruction)
        samples = sound.samples if sound is not None else None
        return self._model.pooled([frame.image for frame in frames], ids, samples)

    def pooled_each(
        self,
        moments: Sequence[Sequence[CameraFrame]],
        instructions: Sequence[str],
        sounds: Sequence[Float32] | None = None,
    ) -> Float32:
        """Pooled features (n, width) of several moments, each under its instruction.

        A family that can reads its weights once for up to `TOGETHER` moments of one instruction.
        """
        return np.stack(_in_groups(self._together, moments, instructions, sounds))

    def tokens_each(
        self,
        moments: Sequence[Sequence[CameraFrame]],
        instructions: Sequence[str],
        sounds: Sequence[Float32] | None = None,
    ) -> list[Float32]:
        """What `pooled_each` is the mean of: (tokens, width) a moment, as long as its words."""
        return _in_groups(self._tokens_together, moments, instructions, sounds)

    def _tokens_together(
        self, pictures: list[list[UInt8]], instruction: str, sounds: list[Float32] | None
    ) -> Float32:
        assert isinstance(self._model, Sequenced)
        ids = self.token_ids(len(pictures[0]), instruction)
        return self._model.tokens_each(pictures, ids, sounds)

    def _together(
        self, pictures: list[list[UInt8]], instruction: str, sounds: list[Float32] | None
    ) -> Float32:
        ids = self.token_ids(len(pictures[0]), instruction)
        if isinstance(self._model, Batched):
            return self._model.pooled_each(pictures, ids, sounds)
        heard = sounds if sounds is not None else [None] * len(pictures)
        pairs = zip(pictures, heard, strict=True)
        return np.stack([self._model.pooled(one, ids, sound) for one, sound in pairs])


def _in_groups(
    together: Callable[[list[list[UInt8]], str, list[Float32] | None], Float32],
    moments: Sequence[Sequence[CameraFrame]],
    instructions: Sequence[str],
    sounds: Sequence[Float32] | None,
) -> list[Float32]:
    found: dict[int, Float32] = {}
    for said in dict.fromkeys(instructions):
        places = [place for place, text in enumerate(instructions) if text == said]
        for at in range(0, len(places), TOGETHER):
            some = places[at : at + TOGETHER]
            made = together(
                [[frame.image for frame in moments[place]] for place in some],
                said,
                None if sounds is None else [sounds[place] for place in some],
            )
            found |= dict(zip(some, made, strict=True))
    return [found[place] for place in range(len(moments))]


def reference_pooled(
    recipe: Recipe,
    weights: str | Weights | None,
    frames: Sequence[CameraFrame],
    instruction: str,
) -> Float32:
    """One pass of a `ReferenceBackbone` that is loaded for it and dropped."""
    return ReferenceBackbone(recipe, weights).pooled(frames, instruction)
