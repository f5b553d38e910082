"""Heads that attend to tokens get them with new features, and keep them until the next."""

from __future__ import annotations

import numpy as np
import pytest

from neon_edge.engine.attended import TOKEN_MASK, TOKENS
from neon_edge.engine.contract import Tensors
from neon_edge.heads.network import HeadNetwork
from neon_edge.types import Features, Float32
from tests.heads.test_several import LEGS, NAMES, manifest

ROWS, WIDTH = 6, 4


class Sums:
    """An engine whose chunk is the sum of the tokens that its mask shows."""

    def __init__(self) -> None:
        self.inputs: Tensors = {
            "pooled": np.zeros((1, WIDTH), np.float32),
            TOKENS: np.zeros((1, ROWS, WIDTH), np.float32),
            TOKEN_MASK: np.zeros((1, ROWS), np.float32),
        }
        self.outputs: Tensors = {"chunk": np.zeros((1, 4, len(LEGS)), np.float32)}

    def start(self) -> None:
        self.outputs["chunk"][:] = self.inputs[TOKEN_MASK][0] @ self.inputs[TOKENS][0].sum(axis=1)

    def wait(self) -> None: ...

    def close(self) -> None: ...


def features(sequence: int, tokens: Float32 | None) -> Features:
    return Features(np.ones(WIDTH, np.float32), sequence, sequence, sequence, 0, 0, tokens)


def test_tokens_are_put_in_with_new_features_and_copied() -> None:
    network = HeadNetwork(Sums(), manifest(LEGS), NAMES, {})
    position = np.zeros(len(NAMES), np.float32)
    long, short = np.full((ROWS, WIDTH), 2, np.float32), np.full((2, WIDTH), 5, np.float32)
    found = []
    for sequence, tokens in ((1, long), (2, short), (2, short), (3, long)):
        found.append(float(network.run(features(sequence, tokens), position)[0, 0]))
    assert found == [2 * ROWS * WIDTH, 5 * 2 * WIDTH, 5 * 2 * WIDTH, 2 * ROWS * WIDTH]
    # The slot's reader overwrites its own.
    long[:] = 7
    assert float(network.run(features(3, long), position)[0, 0]) == found[-1]


def test_features_without_tokens_never_pass_for_some() -> None:
    network = HeadNetwork(Sums(), manifest(LEGS), NAMES, {})
    with pytest.raises(AssertionError):
        network.run(features(1, None), np.zeros(len(NAMES), np.float32))
