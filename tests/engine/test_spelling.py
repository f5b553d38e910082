"""Greedy decoding token by token: the same chunk however it is cut into pieces, and every fault."""

from __future__ import annotations

import numpy as np
import pytest

from neon_edge.engine.action_tokens import ActionTokens, Fault, open_action_tokens
from tests.engine.dictation import BASE, COLUMNS, GAIN, STEPS, dictating
from tests.engine.fast_tokenizer import fit, waves


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> ActionTokens:
    directory = tmp_path_factory.mktemp("tokens")
    fit(directory, waves(200, STEPS, COLUMNS, seed=1), vocabulary=400, spare=70)
    return open_action_tokens(directory, STEPS, COLUMNS)


def lines(tokens: ActionTokens) -> list[list[int]]:
    return [tokens.encode(chunk) for chunk in waves(3, STEPS, COLUMNS, seed=2)]


def test_it_writes_what_the_scores_say_and_scales_it(tokens: ActionTokens) -> None:
    engine, _ = dictating(tokens, lines(tokens))
    for number, said in enumerate(lines(tokens)):
        engine.inputs["pooled"][0, 0] = number
        engine.start()
        engine.wait()
        assert engine.fault is Fault.NONE and engine.spelling.ids == said
        wanted = BASE + GAIN * tokens.decode(said)[0]
        assert np.abs(engine.outputs["chunk"][0] - wanted).max() <= 1e-5


@pytest.mark.parametrize("piece", [1, 2, 7, 1000])
def test_a_chunk_written_in_pieces_is_the_same_and_keeps_its_inputs(
    tokens: ActionTokens, piece: int
) -> None:
    engine, step = dictating(tokens, lines(tokens))
    engine.start()
    whole = engine.outputs["chunk"].copy()
    step.runs, turns = 0, 1
    engine.begin()
    engine.inputs["pooled"][0, 0] = 2  # the next chunk's: this one has begun
    while not engine.advance(piece):
        turns += 1
        # Until it is finished, the chunk before stays readable.
        assert np.array_equal(engine.outputs["chunk"], whole)
    assert np.array_equal(engine.outputs["chunk"], whole)
    due = len(lines(tokens)[0]) + 1
    assert step.runs == due and turns == -(-due // piece)


def test_every_fault_is_nan_and_the_next_chunk_is_whole(tokens: ActionTokens) -> None:
    good = lines(tokens)[0]
    broken = {
        Fault.COUNT: [good[:-1], [*good, *good], []],
        Fault.UNKNOWN: [_halves(tokens)],
    }
    said = [line for many in broken.values() for line in many]
    due = [fault for fault, many in broken.items() for _ in many]
    engine, _ = dictating(tokens, [*said, good])
    for number, fault in enumerate(due):
        engine.inputs["pooled"][0, 0] = number
        engine.start()
        assert engine.fault is fault, number
        assert np.isnan(engine.outputs["chunk"]).all()
    engine.inputs["pooled"][0, 0] = len(said)
    engine.start()
    assert engine.fault is Fault.NONE and np.isfinite(engine.outputs["chunk"]).all()


def _halves(tokens: ActionTokens) -> list[int]:
    """As many characters as a chunk has, each begun and none of them ended."""
    spelt = tokens._pairs.spelt
    lead = next(
        at for at, piece in enumerate(spelt) if piece and len(piece) == 1 and piece > b"\xc1"
    )
    assert tokens.characters[lead] == 1
    return [lead] * tokens.count


def test_a_chunk_longer_than_the_budget_is_none(tokens: ActionTokens) -> None:
    good = lines(tokens)[0]
    for budget, fault in ((len(good), Fault.NONE), (len(good) - 1, Fault.ENDLESS)):
        engine, step = dictating(tokens, [good], budget)
        engine.start()
        assert engine.fault is fault
        assert step.runs == budget + 1


@pytest.mark.parametrize("at", [0, 4])
def test_scores_that_are_no_numbers_choose_nothing(tokens: ActionTokens, at: int) -> None:
    engine, step = dictating(tokens, lines(tokens))
    step.nan_at = at
    engine.start()
    assert engine.fault is Fault.NOT_FINITE
    assert step.runs == at + 1 and np.isnan(engine.outputs["chunk"]).all()
