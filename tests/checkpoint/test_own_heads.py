"""fast and jepa checkpoints: what is loaded, and everything about them that is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from neon_edge.checkpoint import load_checkpoint
from neon_edge.checkpoint.load import ACTION_TOKENIZER
from neon_edge.checkpoint.networks.fast import FastHead
from neon_edge.errors import ConfigWrong
from tests.checkpoint.own_heads import fast_config, jepa_config, save_own
from tests.engine.fast_tokenizer import waves

CONFIGS = {"fast": fast_config(), "jepa": jepa_config()}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {name: tmp_path_factory.mktemp(name) for name in CONFIGS}
    for name, directory in found.items():
        save_own(directory, CONFIGS[name])
    return found


def test_what_was_saved_is_loaded(kept: dict[str, Path]) -> None:
    for name, directory in kept.items():
        checkpoint = load_checkpoint(directory)
        assert checkpoint.config == CONFIGS[name]
        assert (checkpoint.tokens is None) == (name == "jepa") == (not checkpoint.tokenizer_sha256)
        saved = torch.load(directory / "neon_weights.pt", weights_only=True)
        for parameter, value in checkpoint.module.named_parameters():
            assert torch.equal(value, saved.pop(parameter))
        assert not saved


def test_a_fast_head_writes_and_reads_back_its_tokens(kept: dict[str, Path]) -> None:
    checkpoint = load_checkpoint(kept["fast"])
    head, tokens = checkpoint.module.action_head, checkpoint.tokens
    assert isinstance(head, FastHead) and tokens is not None
    assert tokens.shape == (checkpoint.steps, len(checkpoint.columns))
    chunk = waves(1, *tokens.shape, seed=7)[0]
    made, _ = tokens.decode(tokens.encode(chunk))
    assert np.abs(made - chunk).max() <= tokens.bound
    assert head.scores.out_features == tokens.size + 1


def edited(change: Callable[[Any], None]) -> Callable[[Path], None]:
    def edit(directory: Path) -> None:
        path = directory / "config.json"
        text = json.loads(path.read_text())
        change(text)
        path.write_text(json.dumps(text))

    return edit


def without_tokenizer(directory: Path) -> None:
    shutil.rmtree(directory / ACTION_TOKENIZER)


def other_tokenizer(directory: Path) -> None:
    other = directory / "other"
    chunks = waves(50, 16, 4, seed=9)
    save_own(other, fast_config(), chunks=chunks, vocabulary=280)
    shutil.copytree(other / ACTION_TOKENIZER, directory / ACTION_TOKENIZER, dirs_exist_ok=True)


Case = tuple[str, Callable[[Path], None], str]
WRONG: dict[str, Case] = {
    "no tokenizer": ("fast", without_tokenizer, "processor_config.json"),
    "a tokenizer of another size": ("fast", other_tokenizer, "token_embed.weight"),
    "fast without its table": (
        "fast", edited(lambda t: t.pop("neon_edge_fast")), "neon_edge_fast missing",
    ),
    "jepa without its table": (
        "jepa", edited(lambda t: t.pop("neon_edge_jepa")), "neon_edge_jepa missing",
    ),
    "a table of another head": (
        "jepa", edited(lambda t: t.update(neon_edge_fast={})), "neon_edge_fast given",
    ),
    "another type than the table": (
        "jepa", edited(lambda t: t.update(action_head_type="flow")), "neon_edge_jepa given",
    ),
    "a misspelt size": (
        "jepa", edited(lambda t: t["neon_edge_jepa"].update(hiden=3)), "$.neon_edge_jepa",
    ),
    "another width than its weights": (
        "jepa", edited(lambda t: t["neon_edge_jepa"].update(embedding=25)), "predictor.3.weight",
    ),
    "no budget": (
        "fast", edited(lambda t: t["neon_edge_fast"].update(budget=0)), "$.neon_edge_fast.budget",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_belong_together_is_refused(
    kept: dict[str, Path], tmp_path: Path, case: str
) -> None:
    name, edit, says = WRONG[case]
    directory = shutil.copytree(kept[name], tmp_path / "copy")
    edit(directory)
    with pytest.raises(ConfigWrong) as refused:
        load_checkpoint(directory)
    assert says in str(refused.value)
