"""A flow head in steps: against the whole head, and its pull-back against autograd."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from neon.model.action_heads import StateRelativeHead

from neon_edge.build.flow_steps import FlowPullback
from neon_edge.build.head_graphs import head_graphs
from neon_edge.build.heads import export_heads, heads_error
from neon_edge.checkpoint import Checkpoint, load_checkpoint
from neon_edge.checkpoint.networks.flow import FlowHead
from neon_edge.engine.contract import infer
from neon_edge.engine.euler import EulerEngine
from neon_edge.engine.plan import compile_part, open_heads_engine, this_machine
from neon_edge.errors import ConfigWrong
from tests.checkpoint.test_parity_samplers import SMALL
from tests.checkpoint.upstream import save_upstream, upstream_model

FLOW = {"control_mode": "arms_only", "action_head_type": "flow", **SMALL}


def built(directory: Path) -> tuple[Checkpoint, EulerEngine]:
    checkpoint = load_checkpoint(directory)
    heads = export_heads(checkpoint, directory, "0" * 16)
    plans = [compile_part(directory, part, directory, "onnxruntime") for part in heads.parts]
    machine = this_machine("onnxruntime")
    engine = open_heads_engine(directory, heads.with_parts(plans), machine, guided=True)
    assert isinstance(engine, EulerEngine)
    return checkpoint, engine


def saved(directory: Path, relative: bool) -> None:
    if not relative:
        save_upstream(directory, use_imu=False, **FLOW)
        return
    model = upstream_model(**FLOW)
    model.action_head = StateRelativeHead(model.action_head, 17)
    model.save_pretrained(str(directory))


@pytest.mark.parametrize("relative", [False, True], ids=["absolute", "relative"])
def test_an_unguided_flow_in_steps_is_the_head(tmp_path: Path, relative: bool) -> None:
    saved(tmp_path, relative)
    checkpoint, engine = built(tmp_path)

    def run(seen: dict[str, Any]) -> np.ndarray:
        shaped = {name: value.reshape(engine.inputs[name].shape) for name, value in seen.items()}
        made = infer(engine, shaped)
        again = made["base"] + made["gain"] * np.tanh(made["latent"])
        assert np.array_equal(made["chunk"], again) or np.allclose(made["chunk"], again, atol=1e-6)
        return made["chunk"]

    assert heads_error(checkpoint, run, 10, seed=0).max() <= 1e-4
    engine.close()


def test_the_pull_back_is_autograds(tmp_path: Path) -> None:
    save_upstream(tmp_path, **FLOW)
    checkpoint, engine = built(tmp_path)
    head = checkpoint.module.action_head
    assert isinstance(head, FlowHead)
    condition, velocity, pullback = engine._condition, engine._velocity, engine._pullback
    random = torch.Generator().manual_seed(0)
    columns = len(checkpoint.columns)
    for _ in range(5):
        pooled = torch.randn(1, checkpoint.module.pooled_width, generator=random)
        joints = torch.randn(1, columns, generator=random)
        rows = infer(condition, {"pooled": pooled.numpy(), "joints": joints.numpy()})["modulation"]
        features = checkpoint.module.fused(pooled, joints)
        for at in range(head.denoise_steps):
            x = torch.randn(1, checkpoint.steps * columns, generator=random, requires_grad=True)
            error = torch.randn(x.shape, generator=random)
            wanted = head.velocity(x, at / head.denoise_steps, features, None)
            [pulled] = torch.autograd.grad(wanted, x, error)
            fed = {
                "x": x.detach().numpy().reshape(1, checkpoint.steps, columns),
                "modulation": rows[at : at + 1],
            }
            made = infer(velocity, fed)["velocity"].reshape(-1)
            fed["error"] = error.numpy().reshape(fed["x"].shape)
            back = infer(pullback, fed)["pulled"].reshape(-1)
            for found, true in ((made, wanted.detach()), (back, pulled)):
                scale = max(1.0, float(true.abs().max()))
                assert np.abs(found - true.numpy().reshape(-1)).max() <= 1e-4 * scale
    engine.close()


def test_the_pull_back_is_the_gradient_in_float64(tmp_path: Path) -> None:
    save_upstream(tmp_path, **FLOW)
    graphs = head_graphs(load_checkpoint(tmp_path))
    pullback = graphs.guided[2].module.double()
    assert isinstance(pullback, FlowPullback)
    random = torch.Generator().manual_seed(1)
    shape = graphs.guided[2].inputs
    x, rows, error = (
        torch.randn(shape[name], generator=random, dtype=torch.float64)
        for name in ("x", "modulation", "error")
    )
    rows[:, -1] = rows[:, -1].abs() + 1
    x.requires_grad_()
    [wanted] = torch.autograd.grad(pullback.velocity(x, rows), x, error)
    assert torch.allclose(pullback(x, rows, error), wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("head", ["mlp", "dit"])
def test_heads_that_are_no_flow_are_refused_with_the_reason(tmp_path: Path, head: str) -> None:
    settings = {**FLOW, "action_head_type": head, "use_separate_heads": False}
    save_upstream(tmp_path, **settings)
    heads = export_heads(load_checkpoint(tmp_path), tmp_path, "0" * 16)
    assert not heads.guided_parts
    with pytest.raises(ConfigWrong, match="guides the steps of a flow") as refused:
        open_heads_engine(tmp_path, heads, this_machine("onnxruntime"), guided=True)
    assert head in refused.value.facts


@pytest.mark.slow
def test_the_guided_parts_are_tensorrt_graphs(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    save_upstream(tmp_path, **FLOW)
    heads = export_heads(load_checkpoint(tmp_path), tmp_path, "0" * 16)
    assert [part.name for part in heads.guided_parts] == [
        "heads_condition", "heads_velocity", "heads_pullback",
    ]  # fmt: skip
    for part in heads.guided_parts:
        compiled = compile_part(tmp_path, part, tmp_path, "tensorrt-rtx")
        assert (tmp_path / compiled.plan).stat().st_size > 0


def test_what_a_checkpoint_was_trained_to_continue_reaches_the_manifest(tmp_path: Path) -> None:
    save_upstream(tmp_path, **FLOW)
    path = tmp_path / "action_space.json"
    actions = json.loads(path.read_text())
    assert load_checkpoint(tmp_path).actions.neon_edge_prefix_rows == 0
    path.write_text(json.dumps(actions | {"neon_edge_prefix_rows": 5}))
    assert export_heads(load_checkpoint(tmp_path), tmp_path, "0" * 16).prefix_rows == 5
    path.write_text(json.dumps(actions | {"neon_edge_prefix_rows": 16}))
    with pytest.raises(ConfigWrong, match="must leave rows to make"):
        load_checkpoint(tmp_path)


def test_only_a_flow_continues_given_rows(tmp_path: Path) -> None:
    save_upstream(tmp_path, **{**FLOW, "action_head_type": "mlp", "use_separate_heads": False})
    path = tmp_path / "action_space.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"neon_edge_prefix_rows": 5}))
    with pytest.raises(ConfigWrong, match="only a flow"):
        load_checkpoint(tmp_path)
