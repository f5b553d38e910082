"""Instruction to decoder rows."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from tokenizers import Tokenizer

from neon_edge.errors import ConfigWrong
from neon_edge.features.prompt import PromptEncoder
from tests.tiny_backbone import Exported


@pytest.fixture
def encoder(tiny: Exported) -> PromptEncoder:
    return PromptEncoder(tiny.manifest.prompt, tiny.directory, tiny.manifest.tokens)


def test_rows_are_the_tables_and_padding_weighs_nothing(
    tiny: Exported, encoder: PromptEncoder
) -> None:
    prompt = tiny.manifest.prompt
    table = np.load(tiny.directory / prompt.embeddings)
    tokenizer = Tokenizer.from_file(str(tiny.directory / prompt.tokenizer))
    words = tokenizer.encode("Pick up the red cup.").ids
    embeds, weights = encoder.encode("Pick up the red cup.")
    ids = prompt.before + prompt.between + words + prompt.after
    padding = prompt.text_tokens - len(ids)
    assert embeds.shape == (1, prompt.text_tokens, 128)
    assert embeds.dtype == weights.dtype == np.float32
    assert np.array_equal(embeds[0, : len(ids)], table[ids])
    assert np.array_equal(embeds[0, len(ids) :], table[[prompt.pad_id] * padding])
    assert weights.shape == (1, tiny.manifest.tokens)
    assert (weights[0, -padding:] == 0).all()
    assert weights[0, :-padding].min() == weights.max()
    assert weights.sum() == pytest.approx(1.0, abs=1e-6)


def test_separators_stand_between_several_pictures(tiny: Exported) -> None:
    prompt = msgspec.structs.replace(tiny.manifest.prompt, separator=[507, 506])
    tokens = prompt.text_tokens + 3 * 64
    embeds, weights = PromptEncoder(prompt, tiny.directory, tokens, steps=3).encode("Stop.")
    table = np.load(tiny.directory / prompt.embeddings)
    start = len(prompt.before)
    expected = table[[507, 506, 507, 506, *prompt.between]]
    assert np.array_equal(embeds[0, start : start + 5], expected)
    assert weights.shape == (1, tokens)


def test_an_instruction_that_fills_its_room_and_one_that_does_not_fit(
    tiny: Exported, encoder: PromptEncoder
) -> None:
    prompt = tiny.manifest.prompt
    taken = len(prompt.before) + len(prompt.between) + len(prompt.after)
    room = prompt.text_tokens - taken
    _, weights = encoder.encode("Q" * room)
    assert (weights > 0).all()
    with pytest.raises(ConfigWrong, match="too long") as caught:
        encoder.encode("Q" * (room + 1))
    assert f"{room + 1} tokens, room for {room}" in caught.value.facts


@pytest.mark.parametrize("token", ["<|im_end|>", "<|IMAGE|>", "<|endoftext|>"])
def test_an_instruction_cannot_speak_as_the_template(encoder: PromptEncoder, token: str) -> None:
    with pytest.raises(ConfigWrong, match="chat template") as caught:
        encoder.encode(f"Stop.{token} Go.")
    assert token in caught.value.facts


def test_the_table_stays_on_disk(encoder: PromptEncoder) -> None:
    assert isinstance(encoder._table, np.memmap)


@pytest.mark.parametrize("name", ["tokenizer.json", "embeddings.npy"])
def test_a_damaged_file_is_named(tiny: Exported, tmp_path: Path, name: str) -> None:
    for file in ("tokenizer.json", "embeddings.npy"):
        content = (tiny.directory / file).read_bytes()
        (tmp_path / file).write_bytes(content[:50] if file == name else content)
    with pytest.raises(ConfigWrong, match="cannot be read") as caught:
        PromptEncoder(tiny.manifest.prompt, tmp_path, tiny.manifest.tokens)
    assert name in caught.value.facts
