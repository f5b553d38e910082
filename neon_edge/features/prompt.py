"""An instruction → the decoder's text rows and pooling weights. NumPy and a tokenizer, no torch.

    | before | picture | separator | picture | between | instruction | after | padding |
                                             | between | sound | heard | instruction …  |

The text rows are everything but pictures and sound, in that order. Padding stands behind all that
is pooled, so causality keeps it from every token that counts, and its own weight is zero: a padded
pass equals an unpadded one.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from neon_edge.engine.manifest import Prompt
from neon_edge.errors import ConfigWrong
from neon_edge.types import Float32


class PromptEncoder:
    """Tokenizer and memory-mapped embedding table of one backbone.

    `tokens` is the length of its sequence, `steps` how many pictures, or pairs of a video's
    frames, stand in it.
    """

    def __init__(self, prompt: Prompt, directory: Path, tokens: int, steps: int = 1) -> None:
        self._prompt = prompt
        self._tokens = tokens
        self._tokenizer = _tokenizer(directory / prompt.tokenizer)
        self._table = _table(directory / prompt.embeddings)
        self._special = set(self._tokenizer.get_added_tokens_decoder())
        gaps = list(chain.from_iterable(prompt.between_steps(steps)))
        self._before = prompt.before + gaps + prompt.between + prompt.heard

    def encode(self, instruction: str) -> tuple[Float32, Float32]:
        """Return (`text_embeds` (1, text_tokens - folded, width), `pool_weights` (1, tokens)).

        Raises `ConfigWrong` where the instruction is too long or spells a special token.
        """
        prompt = self._prompt
        ids = self._before + self._instruction_ids(instruction) + prompt.after
        padding = prompt.text_tokens - len(ids)
        if padding < 0:
            room = prompt.text_tokens - len(self._before) - len(prompt.after)
            raise ConfigWrong(
                "the instruction is too long for this backbone",
                f"{room - padding} tokens, room for {room} (text_tokens = {prompt.text_tokens})",
                "shorten it, or raise text_tokens in the recipe and build again",
            )
        rows = self._table[ids[prompt.folded :] + [prompt.pad_id] * padding]
        weights = np.zeros((1, self._tokens), np.float32)
        weights[0, : self._tokens - padding] = 1.0 / (self._tokens - padding)
        return rows.astype(np.float32)[None], weights

    def _instruction_ids(self, instruction: str) -> list[int]:
        encoded = self._tokenizer.encode(instruction, add_special_tokens=False)
        for token_id, token in zip(encoded.ids, encoded.tokens, strict=True):
            if token_id in self._special:
                # It would speak in the template's name: end the turn, or stand for a picture.
                raise ConfigWrong(
                    "the instruction spells a token of the chat template",
                    f"{token!r} in {instruction[:80]!r}",
                    "write the instruction in plain words",
                )
        return list(encoded.ids)


def _tokenizer(path: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(path))
    except Exception as failure:  # the library raises nothing narrower
        raise ConfigWrong(
            "the backbone's tokenizer cannot be read", f"{path}: {failure}", "build the plans again"
        ) from failure


def _table(path: Path) -> npt.NDArray[np.floating[Any]]:
    try:
        table: npt.NDArray[np.floating[Any]] = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as failure:
        raise ConfigWrong(
            "the backbone's embedding table cannot be read",
            f"{path}: {failure}",
            "build the plans again",
        ) from failure
    return table
