"""The small tokenizer that random weights get."""

from __future__ import annotations

import os
import subprocess
import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from neon_edge.build.recipe import Recipe
from neon_edge.build.tokenizer import train_tokenizer

SPECIAL = {"<|endoftext|>": 500, "<|im_start|>": 501, "<|im_end|>": 502}


def test_it_is_the_same_in_every_process() -> None:
    program = (
        f"from neon_edge.build.tokenizer import train_tokenizer as t;print(t({SPECIAL!r}).to_str())"
    )
    for threads in ("false", "true"):
        environment = {**os.environ, "TOKENIZERS_PARALLELISM": threads, "PYTHONHASHSEED": "7"}
        said = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, check=True
        )
        assert said.stdout.decode().strip() == train_tokenizer(SPECIAL).to_str()


def test_special_tokens_stand_where_the_recipe_says(tiny_recipe: Recipe) -> None:
    special = tiny_recipe.adaptor.special_tokens
    tokenizer = train_tokenizer(special)
    assert {token: tokenizer.token_to_id(token) for token in special} == special
    encoded = tokenizer.encode("a<|im_end|>\n<|IMAGE|>b")
    assert special["<|im_end|>"] in encoded.ids
    assert special["<|IMAGE|>"] in encoded.ids
    assert tokenizer.get_vocab_size() <= tiny_recipe.adaptor.vocabulary


def test_robot_instructions_are_short() -> None:
    tokenizer = train_tokenizer(SPECIAL)
    text = "Pick up the red cup and put it on the table."
    assert len(tokenizer.encode(text).ids) < len(text) / 2


@settings(max_examples=50, deadline=None)
@given(st.text())
def test_any_text_comes_back(text: str) -> None:
    tokenizer = _trained()
    ids = tokenizer.encode(text).ids
    again = tokenizer.encode(tokenizer.decode(ids)).ids
    assert again == ids


_CACHE = []


def _trained():  # type: ignore[no-untyped-def]
    if not _CACHE:
        _CACHE.append(train_tokenizer(SPECIAL))
    return _CACHE[0]
