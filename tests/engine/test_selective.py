"""Selective decoding: when the decoder runs, and that nothing stale or broken is shown."""

from __future__ import annotations

import numpy as np
import pytest

from neon_edge.engine.contract import Tensors
from neon_edge.engine.selective import SelectiveEngine

WIDTH = 4


class Predict:
    """Hands the test's embedding on; base follows the joints."""

    def __init__(self) -> None:
        self.inputs: Tensors = {
            "pooled": np.zeros((1, WIDTH), np.float32),
            "joints": np.zeros((1, 2), np.float32),
        }
        self.outputs: Tensors = {
            "embedding": np.zeros((1, WIDTH), np.float32),
            "base": np.zeros((1, 3, 2), np.float32),
            "gain": np.full((1, 3, 2), 2.0, np.float32),
        }

    def start(self) -> None:
        np.copyto(self.outputs["embedding"], self.inputs["pooled"])
        self.outputs["base"][:] = self.inputs["joints"][:, None]

    def wait(self) -> None: ...

    def close(self) -> None: ...


class Decode:
    """The latent is the sum of the embedding, everywhere."""

    def __init__(self) -> None:
        self.inputs: Tensors = {"embedding": np.zeros((1, WIDTH), np.float32)}
        self.outputs: Tensors = {"latent": np.zeros((1, 3, 2), np.float32)}
        self.broken = False

    def start(self) -> None:
        self.outputs["latent"][:] = np.nan if self.broken else self.inputs["embedding"].sum()

    def wait(self) -> None: ...

    def close(self) -> None: ...


def made(engine: SelectiveEngine, embedding: object, joints: float = 0.0) -> np.ndarray:
    engine.inputs["pooled"][:] = embedding
    engine.inputs["joints"][:] = joints
    engine.start()
    engine.wait()
    return engine.outputs["chunk"].copy()


def test_an_unchanged_embedding_is_not_decoded_again_and_joints_still_count() -> None:
    engine = SelectiveEngine(Predict(), Decode(), 0.0)
    first = made(engine, 0.5)
    assert (made(engine, 0.5) == first).all() and engine.decodes == 1
    assert (made(engine, 0.5, joints=1.0) == first + 1).all()
    assert (engine.runs, engine.decodes) == (3, 1)


def test_the_first_embedding_is_decoded_even_if_it_is_zero() -> None:
    engine = SelectiveEngine(Predict(), Decode(), 0.5)
    assert np.isfinite(made(engine, 0.0)).all() and engine.decodes == 1


@pytest.mark.parametrize("seed", range(3))
def test_threshold_zero_is_always_decoding_bit_for_bit(seed: int) -> None:
    random = np.random.default_rng(seed)
    engine = SelectiveEngine(Predict(), Decode(), 0.0)
    row = random.standard_normal((1, WIDTH)).astype(np.float32)
    for turn in range(300):
        # Some turns change nothing, some a bit that a square would lose, some everything.
        if turn % 3 == 1:
            row[0, 0] = np.nextafter(row[0, 0], np.float32(np.inf), dtype=np.float32)
        elif turn % 3 == 2:
            row[0, 1] = random.choice(np.array([1e-30, 2e-30, 3e-30], np.float32))
        found = made(engine, row, joints=float(turn))
        always = SelectiveEngine(Predict(), Decode(), 0.0)
        assert np.array_equal(found, made(always, row, joints=float(turn)))
    assert engine.decodes < engine.runs


def test_it_decodes_beyond_the_threshold_and_measures_from_what_was_decoded() -> None:
    engine = SelectiveEngine(Predict(), Decode(), 0.1)
    made(engine, 1.0)
    stale = made(engine, 1.06)
    assert engine.decodes == 1 and stale[0, 0, 0] == 2 * WIDTH * 1.0
    # Six hundredths more are small steps, and far from what was decoded.
    fresh = made(engine, 1.12)
    assert engine.decodes == 2
    assert fresh[0, 0, 0] == pytest.approx(2 * WIDTH * 1.12, rel=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_not_decoded_and_not_kept(value: float) -> None:
    engine = SelectiveEngine(Predict(), Decode(), 0.1)
    before = made(engine, 1.0)
    assert np.isnan(made(engine, [1.0, value, 1.0, 1.0])).all()
    assert engine.decodes == 1
    assert np.array_equal(made(engine, 1.0), before) and engine.decodes == 1


def test_a_broken_decoder_is_asked_again() -> None:
    decode = Decode()
    engine = SelectiveEngine(Predict(), decode, 0.5)
    decode.broken = True
    assert np.isnan(made(engine, 1.0)).all()
    decode.broken = False
    assert np.isfinite(made(engine, 1.0)).all() and engine.decodes == 2
