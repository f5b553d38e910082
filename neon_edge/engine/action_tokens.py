"""FAST action tokens: a chunk as quantised DCT coefficients, spelt as text, in byte pairs.

Pertsch et al., FAST, arXiv 2501.09747; `processing_action_tokenizer.py` of physical-intelligence/
fast, whose tokenizer.json and processor_config.json are read as they are. Coefficient k of column d
is round(scale * DCT(column)[k]); it is written as the character numbered coefficient - min_token,
frequency by frequency, all columns of one after another. What that decoder answers with a chunk of
zeros (all joints in the middle of their range) is a `Fault` here, and a chunk of NaN.
"""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta, Struct

from neon_edge.engine.byte_pairs import BytePairs
from neon_edge.errors import ConfigWrong
from neon_edge.types import Float64

TOKENIZER = "tokenizer.json"
PROCESSOR = "processor_config.json"
_SURROGATES = 0xD800
"""UTF-8 ends here, for characters in a row."""

Int32 = npt.NDArray[np.int32]
Size = Annotated[int, Meta(ge=1)]


class Fault(IntEnum):
    """Why tokens are no chunk."""

    NONE = 0
    UNKNOWN = 1
    """An id of no token, or bytes that are no text."""
    COUNT = 2
    """Not steps * columns coefficients."""
    ENDLESS = 3
    """No end within the budget."""
    NOT_FINITE = 4
    """The network's scores, or its features."""


class Processor(Struct, frozen=True):
    """processor_config.json; its `processor_class` and `auto_map` name code that is never run."""

    scale: Annotated[float, Meta(gt=0)] = 10.0
    vocab_size: Size = 1024
    """What was asked of the trainer, which may have found less to merge."""
    min_token: int = 0
    """The coefficient that character 0 stands for."""
    time_horizon: Size | None = None
    action_dim: Size | None = None


class ActionTokens:
    """The codec of chunks (steps, columns), normalised to about [-1, 1]."""

    def __init__(
        self, pairs: BytePairs, scale: float, min_token: int, steps: int, columns: int
    ) -> None:
        self._pairs = pairs
        self.scale = scale
        self.min_token = min_token
        self.shape = (steps, columns)
        self._basis = cosines(steps)
        self.characters = pairs.characters()
        """How many coefficients each token writes, by id."""

    @property
    def size(self) -> int:
        """Token ids are below this."""
        return len(self._pairs)

    @property
    def count(self) -> int:
        """Coefficients of a chunk."""
        return self.shape[0] * self.shape[1]

    @property
    def bound(self) -> float:
        """The largest error that rounding can leave in any value of a chunk.

        Half a step in every coefficient, all with the sign that hurts most: 1/(2 scale) times the
        largest sum over k of |basis[k, t]|. The root mean square stays below 1/(2 scale).
        """
        return float(np.abs(self._basis).sum(axis=0).max()) / (2 * self.scale)

    def decode(self, ids: list[int]) -> tuple[Float64, Fault]:
        """Tokens → (steps, columns), and why it is all NaN if it is. Never raises."""
        coefficients, fault = self.coefficients(ids)
        if coefficients is None:
            return np.full(self.shape, np.nan), fault
        actions: Float64 = self._basis.T @ (coefficients / self.scale)
        return actions, fault

    def coefficients(self, ids: list[int]) -> tuple[Int32 | None, Fault]:
        """Tokens → quantised coefficients (steps, columns), frequency by frequency."""
        text = self._pairs.joined(ids)
        if text is None:
            return None, Fault.UNKNOWN
        if len(text) != self.count:
            return None, Fault.COUNT
        codes = np.array([ord(character) for character in text], np.int32)
        return codes.reshape(self.shape) + np.int32(self.min_token), Fault.NONE

    def encode(self, chunk: npt.NDArray[np.floating[Any]]) -> list[int]:
        """(steps, columns) → tokens. Raises `ConfigWrong` for what this vocabulary cannot say.

        The published encoder raises coefficients below `min_token` to it without a word.
        """
        quantised = quantise(chunk, self.scale)
        if quantised.shape != self.shape or not np.isfinite(chunk).all():
            raise _unsayable(f"shape {quantised.shape}, wanted {self.shape}, all finite")
        codes = quantised.astype(np.int64).reshape(-1) - self.min_token
        low, high = int(codes.min()) + self.min_token, int(codes.max()) + self.min_token
        if low < self.min_token or high - self.min_token >= _SURROGATES:
            raise _unsayable(f"coefficients {low} to {high}, the least is {self.min_token}")
        ids = self._pairs.ids("".join(map(chr, codes.tolist())))
        found, _ = self.coefficients(ids)
        if found is None or not np.array_equal(found, quantised):
            raise _unsayable(f"coefficients {low} to {high} do not come back from their tokens")
        return ids


def cosines(steps: int) -> Float64:
    """The orthonormal DCT-II as a matrix (frequencies, steps); its transpose is its inverse."""
    frequency, time = np.arange(steps)[:, None], np.arange(steps)
    basis = np.cos(np.pi * (2 * time + 1) * frequency / (2 * steps)) * np.sqrt(2 / steps)
    basis[0] = np.sqrt(1 / steps)
    scaled: Float64 = basis
    return scaled


def quantise(chunk: npt.NDArray[np.floating[Any]], scale: float) -> Float64:
    """(steps, columns) → rounded coefficients, halves to even."""
    rounded: Float64 = np.around(cosines(len(chunk)) @ chunk.astype(np.float64) * scale)
    return rounded


def read_processor(path: Path) -> Processor:
    """Read processor_config.json. Raises `ConfigWrong`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Processor)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as failure:
        raise ConfigWrong(
            "the action tokenizer's settings cannot be read",
            f"{path}: {failure}",
            "copy processor_config.json that was published or trained with the heads",
        ) from None


def open_action_tokens(directory: Path, steps: int, columns: int) -> ActionTokens:
    """The published layout, for chunks of this shape. Raises `ConfigWrong`."""
    processor = read_processor(directory / PROCESSOR)
    for name, stated, wanted in (
        ("time_horizon", processor.time_horizon, steps),
        ("action_dim", processor.action_dim, columns),
    ):
        if stated is not None and stated != wanted:
            raise ConfigWrong(
                "the action tokenizer was made for chunks of another shape",
                f"{name} {stated} in {directory / PROCESSOR}, {wanted} in the checkpoint",
                "use the tokenizer that the heads were trained with",
            )
    pairs = BytePairs(directory / TOKENIZER)
    if len(pairs) > processor.vocab_size:
        raise ConfigWrong(
            "tokenizer.json and processor_config.json disagree",
            f"{len(pairs)} tokens, vocab_size {processor.vocab_size}; {directory}",
            "the two files come from different tokenizers; copy the directory again",
        )
    return ActionTokens(pairs, processor.scale, processor.min_token, steps, columns)


def _unsayable(facts: str) -> ConfigWrong:
    return ConfigWrong(
        "the action tokenizer cannot write this chunk",
        facts,
        "normalise the chunk as in training, or train the tokenizer on chunks like it",
    )
