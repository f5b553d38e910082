"""A flow that attends to tokens, against upstream's own module that is given them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from neon.model.action_heads import StateRelativeHead
from neon.model.neon_vla import NeonVLA

from neon_edge.build.heads import export_heads, sample_inputs
from neon_edge.checkpoint import Checkpoint, load_checkpoint
from neon_edge.engine.attended import TOKEN_MASK, TOKENS, TokenFeed
from neon_edge.engine.contract import Engine
from neon_edge.engine.plan import compile_part, open_heads_engine, this_machine
from neon_edge.engine.staged import StagedEngine
from neon_edge.errors import ConfigWrong
from neon_edge.types import Float32
from tests.checkpoint.test_parity_samplers import SMALL
from tests.checkpoint.upstream import save_upstream, upstream_model

ROWS, WIDTH = 13, 96
TOLERANCE = 1e-4
FLOW: dict[str, Any] = {"action_head_type": "flow", "use_separate_heads": False, **SMALL}
ATTENDS: dict[str, Any] = {
    **FLOW,
    "flow_use_cross_attention": True,
    "flow_cross_attention_dim": WIDTH,
}


def built(directory: Path) -> tuple[Checkpoint, Engine]:
    checkpoint = load_checkpoint(directory)
    heads = export_heads(checkpoint, directory, "0" * 16, ROWS)
    assert heads.attended == ROWS
    plans = [compile_part(directory, part, directory, "onnxruntime") for part in heads.parts]
    machine = this_machine("onnxruntime")
    return checkpoint, open_heads_engine(directory, heads.with_parts(plans), machine)


def upstreams(
    model: NeonVLA, checkpoint: Checkpoint, seen: dict[str, Float32], tokens: Float32 | None
) -> Float32:
    """Upstream's own sampler from our fused features, every velocity with `tokens` (count, width).

    Its `sample` has no argument for tokens, so they are put in where it calls its network.
    """
    head, space = model.action_head, model.action_space
    flow = getattr(head, "inner_head", head)
    given = {name: torch.from_numpy(value) for name, value in seen.items()}
    noise, predict = given["noise"], flow._predict_velocity
    state = torch.from_numpy(space.normalize(seen["joints"]))
    more = {"current_state": state} if flow is not head else {}
    randn = torch.randn
    if tokens is not None:
        rows = torch.from_numpy(tokens)[None]
        flow._predict_velocity = partial(predict, encoder_hidden_states=rows)
    torch.randn = lambda *shape, **_: noise.reshape(shape)
    try:
        with torch.inference_mode():
            features = checkpoint.module.fused(given["pooled"], given["joints"])
            made: Float32 = space.denormalize(head.sample(features, **more)[0].numpy())
    finally:
        torch.randn, flow._predict_velocity = randn, predict
    return made


def ran(engine: Engine, seen: dict[str, Float32]) -> Float32:
    for name, value in seen.items():
        np.copyto(engine.inputs[name], value.reshape(engine.inputs[name].shape))
    engine.start()
    engine.wait()
    chunk: Float32 = engine.outputs["chunk"][0].copy()
    return chunk


@pytest.mark.parametrize("width", [WIDTH, 64, None], ids=["projected", "as it is", "pooled"])
@pytest.mark.parametrize("relative", [False, True], ids=["absolute", "relative"])
def test_padding_is_attended_to_by_nobody(
    tmp_path: Path, width: int | None, relative: bool
) -> None:
    settings = {**ATTENDS, "flow_cross_attention_dim": width, "control_mode": "upper_body"}
    model = upstream_model(**settings)
    if relative:
        model.action_head = StateRelativeHead(model.action_head, model.action_space.action_dim)
    model.save_pretrained(str(tmp_path))
    checkpoint, engine = built(tmp_path)
    feed, random = TokenFeed(engine), np.random.default_rng(0)
    # A longer sequence first: what is left of it must not be attended to.
    for seen, count in zip(
        sample_inputs(checkpoint, 6, seed=1), (ROWS, 5, 1, 12, 7, ROWS), strict=True
    ):
        tokens = random.standard_normal((count, engine.inputs[TOKENS].shape[2]), np.float32)
        feed.put(tokens)
        found = ran(engine, seen)
        assert np.abs(found - upstreams(model, checkpoint, seen, tokens)).max() <= TOLERANCE
        assert np.abs(found - upstreams(model, checkpoint, seen, None)).max() > 1e-2


def test_keys_and_values_are_made_once_a_feature(tmp_path: Path) -> None:
    save_upstream(tmp_path, **ATTENDS)
    checkpoint, engine = built(tmp_path)
    assert isinstance(engine, StagedEngine)
    slow = next(stage.engine for stage in engine._stages if TOKENS in stage.engine.inputs)
    assert set(slow.inputs) == {TOKENS, TOKEN_MASK}
    runs, start = [], slow.start
    slow.start = lambda: (runs.append(1), start())  # type: ignore[method-assign,func-returns-value]
    feed = TokenFeed(engine)
    seen, other = sample_inputs(checkpoint, 2, seed=0)
    for tick in range(12):
        if tick % 4 == 0:
            feed.put(np.full((3, WIDTH), tick, np.float32))
        ran(engine, {**seen, "joints": other["joints"] * tick})
    assert len(runs) == 3


def test_heads_that_cannot_use_tokens_refuse_them(tmp_path: Path) -> None:
    save_upstream(tmp_path, **FLOW)
    with pytest.raises(ConfigWrong, match="tokens"):
        export_heads(load_checkpoint(tmp_path), tmp_path, "0" * 16, tokens=4)


def test_a_flow_that_is_given_none_is_built_as_upstream_runs_it(tmp_path: Path) -> None:
    save_upstream(tmp_path, **ATTENDS)
    heads = export_heads(load_checkpoint(tmp_path), tmp_path, "0" * 16)
    assert heads.attended == 0 and heads.guided_parts
