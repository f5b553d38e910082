"""Small integers packed in larger ones, low bits first."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from neon_edge.types import UInt8

_NIBBLES = np.arange(8, dtype=np.uint32) * 4


def nibbles(words: npt.NDArray[Any]) -> UInt8:
    """int32 (...) → (..., 8) uint8: nibble j is bits 4j to 4j + 3."""
    unsigned = np.ascontiguousarray(words).view(np.uint32)
    spread: UInt8 = ((unsigned[..., None] >> _NIBBLES) & 0xF).astype(np.uint8)
    return spread


def along_rows(words: npt.NDArray[Any]) -> UInt8:
    """int32 (r, c) → (8r, c): a word holds eight neighbours of a column."""
    spread = nibbles(words)
    rows: UInt8 = spread.transpose(0, 2, 1).reshape(-1, words.shape[1])
    return rows


def along_columns(words: npt.NDArray[Any]) -> UInt8:
    """int32 (r, c) → (r, 8c): a word holds eight neighbours of a row."""
    columns: UInt8 = nibbles(words).reshape(words.shape[0], -1)
    return columns


def signed_nibbles(octets: UInt8) -> npt.NDArray[np.int8]:
    """uint8 (r, c) → (2r, c) in [-8, 7]: the low nibble is the even row, two's complement."""
    low, high = octets & 0xF, octets >> 4
    pairs = np.stack([low, high], axis=1).reshape(-1, octets.shape[1]).astype(np.int8)
    return np.where(pairs > 7, pairs - 16, pairs).astype(np.int8)
