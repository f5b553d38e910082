"""FAST tokens against their published definition, the quantiser's bound, and what is no chunk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.fft import dct

from neon_edge.engine.action_tokens import (
    ActionTokens,
    Fault,
    cosines,
    open_action_tokens,
    quantise,
)
from neon_edge.engine.byte_pairs import BytePairs
from neon_edge.errors import ConfigWrong
from tests.engine.fast_tokenizer import decode, encode, fit, waves

STEPS, COLUMNS = 16, 5


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small tokenizer with room for any chunk in [-1, 1], characters of two bytes included."""
    directory = tmp_path_factory.mktemp("fast")
    fit(directory, waves(400, STEPS, COLUMNS, seed=1), scale=20, vocabulary=420, spare=80)
    return directory


@pytest.fixture(scope="module")
def tokens(published: Path) -> ActionTokens:
    return open_action_tokens(published, STEPS, COLUMNS)


@pytest.mark.parametrize("steps", [1, 2, 7, 16, 50])
def test_the_transform_is_scipys_and_orthonormal(steps: int) -> None:
    chunk = np.random.default_rng(steps).standard_normal((steps, 3))
    assert np.abs(cosines(steps) @ chunk - dct(chunk, axis=0, norm="ortho")).max() <= 1e-12
    assert np.abs(cosines(steps).T @ cosines(steps) - np.eye(steps)).max() <= 1e-12


def test_tokens_are_the_published_ones_and_decode_to_the_same_chunk(
    published: Path, tokens: ActionTokens
) -> None:
    for chunk in waves(40, STEPS, COLUMNS, seed=2):
        ids = tokens.encode(chunk)
        assert ids == encode(published, chunk)
        made, fault = tokens.decode(ids)
        assert fault is Fault.NONE
        assert np.abs(made - decode(published, ids, STEPS, COLUMNS)).max() <= 1e-12
    # It compresses: otherwise no merge was ever decoded.
    assert len(ids) < STEPS * COLUMNS * 0.7
    assert max(tokens.characters) > 2


def test_characters_of_two_bytes_are_split_by_tokens_and_joined_again(
    tokens: ActionTokens, published: Path
) -> None:
    chunk = np.full((STEPS, COLUMNS), 0.99)
    ids = tokens.encode(chunk)
    assert (quantise(chunk, tokens.scale) - tokens.min_token).max() > 127
    assert np.array_equal(tokens.decode(ids)[0], tokens.decode(encode(published, chunk))[0])
    assert sum(tokens.characters[one] for one in ids) == tokens.count


@settings(max_examples=150, deadline=None)
@given(chunk=arrays(np.float64, (STEPS, COLUMNS), elements=st.floats(-1, 1)))
def test_a_chunk_comes_back_within_the_quantisers_bound(
    tokens: ActionTokens, chunk: np.ndarray
) -> None:
    made, fault = tokens.decode(tokens.encode(chunk))
    assert fault is Fault.NONE
    error = made - chunk
    assert np.abs(error).max() <= tokens.bound + 1e-12
    assert np.sqrt(np.square(error).mean()) <= 0.5 / tokens.scale + 1e-12


def test_the_bound_is_reached(tokens: ActionTokens) -> None:
    # The worst signs at the worst time, a hair below half a step: no smaller bound holds.
    basis = cosines(STEPS)
    worst = np.abs(basis).sum(axis=0).argmax()
    chunk = np.zeros((STEPS, COLUMNS))
    chunk[:, 2] = basis.T @ (np.sign(basis[:, worst]) * 0.4999999 / tokens.scale)
    error = tokens.decode(tokens.encode(chunk))[0] - chunk
    assert np.abs(error).max() == pytest.approx(tokens.bound, rel=1e-5)


def no_chunks(tokens: ActionTokens) -> dict[str, tuple[list[int], Fault]]:
    good = tokens.encode(waves(1, STEPS, COLUMNS, seed=3)[0])
    half = next(one for one, count in enumerate(tokens.characters) if count == 0)
    return {
        "nothing": ([], Fault.COUNT),
        "one token short": (good[:-1], Fault.COUNT),
        "one token more": ([*good, good[0]], Fault.COUNT),
        "an id behind the last": ([*good[:-1], tokens.size], Fault.UNKNOWN),
        "a negative id": ([-1, *good[1:]], Fault.UNKNOWN),
        "half a character": ([half, *good], Fault.UNKNOWN),
    }


@pytest.mark.parametrize("case", range(6))
def test_what_is_no_chunk_is_a_fault_and_nan_and_never_zeros(
    tokens: ActionTokens, published: Path, case: int
) -> None:
    name, (ids, due) = list(no_chunks(tokens).items())[case]
    made, fault = tokens.decode(ids)
    assert fault is due, name
    assert made.shape == (STEPS, COLUMNS) and np.isnan(made).all()


def test_the_published_decoder_answers_some_of_them_with_zeros(
    tokens: ActionTokens, published: Path
) -> None:
    ids, _ = no_chunks(tokens)["one token short"]
    assert not decode(published, ids, STEPS, COLUMNS).any()


@settings(max_examples=200, deadline=None)
@given(ids=st.lists(st.integers(-3, 500), max_size=200))
def test_no_tokens_whatever_raise(tokens: ActionTokens, ids: list[int]) -> None:
    made, fault = tokens.decode(ids)
    assert (fault is Fault.NONE) == bool(np.isfinite(made).all())


def test_what_cannot_be_said_is_refused(tokens: ActionTokens) -> None:
    for chunk in (
        np.full((STEPS, COLUMNS), -30.0),
        np.full((STEPS, COLUMNS), 1e5),
        np.full((STEPS, COLUMNS), np.nan),
        np.zeros((STEPS, COLUMNS + 1)),
    ):
        with pytest.raises(ConfigWrong, match="cannot write this chunk"):
            tokens.encode(chunk)


def edited(change: Callable[[Any], None], name: str) -> Callable[[Path], None]:
    def edit(directory: Path) -> None:
        text = json.loads((directory / name).read_text())
        change(text)
        (directory / name).write_text(json.dumps(text))

    return edit


PROCESSOR, TOKENIZER = "processor_config.json", "tokenizer.json"
NORMALISED = {"normalizer": {"type": "NFC"}}
WRONG: dict[str, tuple[Callable[[Path], None], str]] = {
    "other steps": (edited(lambda t: t.update(time_horizon=9), PROCESSOR), "time_horizon 9"),
    "other columns": (edited(lambda t: t.update(action_dim=7), PROCESSOR), "action_dim 7"),
    "no scale": (edited(lambda t: t.update(scale=0), PROCESSOR), "scale"),
    "too few tokens": (edited(lambda t: t.update(vocab_size=9), PROCESSOR), "vocab_size 9"),
    "no settings": (lambda path: (path / PROCESSOR).unlink(), "settings cannot be read"),
    "no tokenizer": (lambda path: (path / TOKENIZER).unlink(), "cannot be read"),
    "not bytes": (edited(lambda t: t.update(decoder=None), TOKENIZER), "decoder None"),
    "normalised": (edited(lambda t: t.update(NORMALISED), TOKENIZER), "normalizer"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_tokenizer_of_something_else_is_refused(tmp_path: Path, case: str) -> None:
    edit, says = WRONG[case]
    fit(tmp_path, waves(20, STEPS, COLUMNS, seed=1))
    open_action_tokens(tmp_path, STEPS, COLUMNS)
    edit(tmp_path)
    with pytest.raises(ConfigWrong) as refused:
        open_action_tokens(tmp_path, STEPS, COLUMNS)
    assert says in str(refused.value)


def test_an_added_token_spells_nothing(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    fit(tmp_path, waves(20, STEPS, COLUMNS, seed=1))
    tokenizer = Tokenizer.from_file(str(tmp_path / TOKENIZER))
    tokenizer.add_special_tokens(["<end>"])
    tokenizer.save(str(tmp_path / TOKENIZER))
    pairs = BytePairs(tmp_path / TOKENIZER)
    assert pairs.spelt[-1] is None and pairs.joined([len(pairs) - 1]) is None
