"""Plans of fast and jepa heads against the torch networks that they were made from."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from neon_edge.build.heads import export_heads, heads_error, sample_inputs, torch_chunk
from neon_edge.checkpoint import Checkpoint, load_checkpoint
from neon_edge.checkpoint.config import NeonConfig
from neon_edge.checkpoint.networks.fast import FastHead
from neon_edge.engine.action_tokens import Fault
from neon_edge.engine.contract import infer
from neon_edge.engine.manifest import HeadsManifest
from neon_edge.engine.plan import compile_part, open_heads_engine, this_machine
from neon_edge.engine.selective import SelectiveEngine
from neon_edge.engine.spelling import SpellingEngine
from neon_edge.errors import PlanUnfit
from tests.checkpoint.own_heads import fast_config, jepa_config, save_own

Built = tuple[Checkpoint, HeadsManifest, Any]

CASES: dict[str, tuple[NeonConfig, bool]] = {
    "jepa": (jepa_config(), False),
    "jepa, all joints, relative": (jepa_config(control_mode="whole_body", use_imu=True), True),
    "fast": (fast_config(), False),
    "fast, relative": (fast_config(use_imu=True), True),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Built]:
    """Checkpoint, plans and their engine, made once a case."""

    @functools.cache
    def build(case: str) -> Built:
        config, relative = CASES[case]
        directory = tmp_path_factory.mktemp("own")
        save_own(directory, config, relative=relative)
        checkpoint = load_checkpoint(directory)
        heads = export_heads(checkpoint, directory, "0" * 16)
        plans = [compile_part(directory, part, directory, "onnxruntime") for part in heads.parts]
        heads = heads.with_parts(plans)
        return checkpoint, heads, open_heads_engine(directory, heads, this_machine("onnxruntime"))

    return build


@pytest.mark.parametrize("case", ["jepa", "jepa, all joints, relative"])
def test_a_jepa_plan_is_the_network(built: Callable[[str], Built], case: str) -> None:
    checkpoint, _, engine = built(case)
    assert isinstance(engine, SelectiveEngine)
    before = engine.decodes
    errors = heads_error(checkpoint, lambda seen: infer(engine, seen)["chunk"], 20, seed=3)
    assert errors.max() <= 1e-4
    assert engine.decodes == before + 20


def test_a_jepa_embedding_has_a_root_mean_square_of_one(built: Callable[[str], Built]) -> None:
    checkpoint, _, engine = built("jepa")
    for seen in sample_inputs(checkpoint, 5, seed=1):
        infer(engine, seen)
        embedding = engine._predict.outputs["embedding"]
        assert float(np.square(embedding).mean()) == pytest.approx(1, abs=1e-2)


def places(head: FastHead, ids: list[int]) -> list[int]:
    """How many coefficients are written before each of `ids`, and behind the last."""
    return np.cumsum([0, *(head.tokens.characters[one] for one in ids)]).tolist()


@pytest.mark.parametrize("case", ["fast", "fast, relative"])
def test_a_fast_plan_scores_tokens_as_the_network_does(
    built: Callable[[str], Built], case: str
) -> None:
    checkpoint, _, engine = built(case)
    assert isinstance(engine, SpellingEngine)
    head = checkpoint.module.action_head
    head = head.inner_head if case != "fast" else head
    assert isinstance(head, FastHead)
    ids = [5, 9, 5, 260]
    for seen in sample_inputs(checkpoint, 5, seed=2):
        for name, value in seen.items():
            np.copyto(engine.inputs[name], value)
        engine.begin()
        given = {name: torch.from_numpy(value) for name, value in seen.items()}
        with torch.inference_mode():
            state, told = head.begin(checkpoint.module.fused(**given))
            for token, place in zip([head.tokens.size, *ids], places(head, ids), strict=True):
                scores, state = head.step(torch.tensor([token]), torch.tensor([place]), told, state)
                # Along the test's own tokens, whatever the plan would choose.
                engine.spelling.token, engine.spelling.place = token, place
                engine.spelling.finished = False
                engine.advance(1)
                assert np.abs(engine._step.outputs["scores"] - scores.numpy()).max() <= 1e-4


def test_a_fast_plan_writes_the_networks_tokens(built: Callable[[str], Built]) -> None:
    checkpoint, _, engine = built("fast")
    for seen in sample_inputs(checkpoint, 10, seed=4):
        found = infer(engine, seen)["chunk"]
        given = {name: torch.from_numpy(value) for name, value in seen.items()}
        with torch.inference_mode():
            spelt = checkpoint.module.action_head.spelt(checkpoint.module.fused(**given))
        assert engine.spelling.ids == spelt.ids and engine.fault is spelt.fault
        assert np.array_equal(found, torch_chunk(checkpoint, seen), equal_nan=True)
        # Random weights spell nothing that is a chunk: tests/build/test_fast_task.py trains some.
        assert engine.fault is not Fault.NONE and np.isnan(found).all()


@pytest.mark.slow
@pytest.mark.parametrize("case", ["fast", "jepa"])
def test_the_graphs_are_tensorrt_graphs(
    built: Callable[[str], Built], tmp_path: Path, case: str
) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    checkpoint, heads, _ = built(case)
    assert heads.step_part is not None
    for part in heads.parts:
        compiled = compile_part(checkpoint.directory, part, tmp_path, "tensorrt-rtx")
        assert (tmp_path / compiled.plan).stat().st_size > 0


def test_another_tokenizer_beside_the_plans_is_refused(
    built: Callable[[str], Built], tmp_path: Path
) -> None:
    checkpoint, heads, _ = built("fast")
    assert heads.fast is not None and heads.files == [heads.fast.tokenizer]
    copy = shutil.copytree(checkpoint.directory, tmp_path / "copy")
    path = copy / heads.fast.tokenizer
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(PlanUnfit, match="action tokenizer is missing or has changed"):
        open_heads_engine(copy, heads, this_machine("onnxruntime"))
