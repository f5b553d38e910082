"""Plans of heads that sample, and of every sensor, against the torch networks on the same noise."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from neon.model.action_heads import StateRelativeHead

from neon_edge.build.heads import export_heads, heads_error, sample_inputs
from neon_edge.checkpoint import Checkpoint, load_checkpoint
from neon_edge.checkpoint.networks.dit import DitHead
from neon_edge.engine.contract import Engine, infer
from neon_edge.engine.denoise import DenoisingEngine, denoise
from neon_edge.engine.manifest import HeadsManifest
from neon_edge.engine.plan import compile_part, open_heads_engine, this_machine
from tests.checkpoint.test_parity_samplers import ALL, SMALL
from tests.checkpoint.upstream import POOLED, save_upstream, upstream_model

SAMPLES = 10
TOLERANCE = 1e-4
NOT_A_DIT = {"action_head_type": "flow", "use_separate_heads": False, **SMALL}


def built(directory: Path, tokens: int = 0) -> tuple[Checkpoint, HeadsManifest, Engine]:
    checkpoint = load_checkpoint(directory, picture=32)
    heads = export_heads(checkpoint, directory, "0" * 16, tokens)
    machine = this_machine("onnxruntime")
    plans = [compile_part(directory, part, directory, "onnxruntime") for part in heads.parts]
    heads = heads.with_parts(plans)
    return checkpoint, heads, open_heads_engine(directory, heads, machine)


def error(checkpoint: Checkpoint, engine: Engine) -> float:
    def run(seen: dict[str, Any]) -> np.ndarray:
        shaped = {name: value.reshape(engine.inputs[name].shape) for name, value in seen.items()}
        return infer(engine, shaped)["chunk"]

    return float(heads_error(checkpoint, run, SAMPLES, seed=0).max())


@pytest.mark.parametrize(
    "mode", ["arms_only", "upper_body", "whole_body_hands", "aerial_nav", "aerial_manip"]
)
def test_flow_in_every_kind_of_mode(tmp_path: Path, mode: str) -> None:
    save_upstream(tmp_path, control_mode=mode, **NOT_A_DIT)
    checkpoint, heads, engine = built(tmp_path)
    assert heads.noise is not None
    assert engine.inputs["noise"].shape == (1, 16, len(checkpoint.columns))
    assert error(checkpoint, engine) <= TOLERANCE


@pytest.mark.parametrize("head", ["mlp", "flow"])
@pytest.mark.parametrize("blind", [False, True], ids=["joints", "blind"])
def test_every_sensor_at_once(tmp_path: Path, head: str, blind: bool) -> None:
    settings = {**NOT_A_DIT, "action_head_type": head, "use_proprioception": not blind, **ALL}
    audio = {"encoder_type": "whisper", "projection_dim": 24, "enable_speech_output": False}
    save_upstream(tmp_path, control_mode="upper_body", audio=audio, **settings)
    checkpoint, heads, engine = built(tmp_path)
    assert [part.name for part in heads.slow_parts] == [
        "heads_pooled", "heads_audio", "heads_lidar", "heads_depth", "heads_segmentation",
    ]  # fmt: skip
    assert error(checkpoint, engine) <= TOLERANCE


@pytest.mark.parametrize("head", ["mlp", "flow"])
def test_a_relative_head(tmp_path: Path, head: str) -> None:
    settings = {**NOT_A_DIT, "action_head_type": head}
    model = upstream_model(control_mode="upper_body", **settings)
    model.action_head = StateRelativeHead(model.action_head, model.action_space.action_dim)
    model.save_pretrained(str(tmp_path))
    checkpoint, _, engine = built(tmp_path)
    assert error(checkpoint, engine) <= TOLERANCE


@pytest.mark.parametrize("head", ["dit", "ensemble"])
def test_a_dit_plan_predicts_the_networks_noise(tmp_path: Path, head: str) -> None:
    save_upstream(tmp_path, control_mode="whole_body", action_head_type=head, use_imu=True, **SMALL)
    checkpoint, _, engine = built(tmp_path)
    assert isinstance(engine, DenoisingEngine)
    inner = checkpoint.module.action_head
    dit = inner if head == "dit" else inner.dit_head
    assert isinstance(dit, DitHead)
    tick, step = engine._tick, engine._step
    random = np.random.default_rng(0)
    for seen in sample_inputs(checkpoint, SAMPLES, seed=2):
        given = {name: seen[name].reshape(tick.inputs[name].shape) for name in tick.inputs}
        modulation = infer(tick, given)["modulation"]
        tensors = {name: torch.from_numpy(value) for name, value in seen.items()}
        tensors.pop("noise")
        for at, time in enumerate(dit.times[:-1]):
            x = random.standard_normal(step.inputs["x"].shape, dtype=np.float32)
            found = infer(step, {"x": x, "modulation": modulation[at : at + 1]})["predicted"]
            with torch.inference_mode():
                features = checkpoint.module.fused(**tensors)
                expected = dit.predicted_noise(torch.from_numpy(x), time, features).numpy()
            assert np.abs(found - expected).max() <= TOLERANCE


@pytest.mark.parametrize("relative", [False, True], ids=["absolute", "relative"])
@pytest.mark.parametrize("head", ["dit", "ensemble"])
def test_a_dit_plans_chunk_where_sampling_is_sane(
    tmp_path: Path, head: str, relative: bool
) -> None:
    """A zero output layer, upstream's own start: the first update multiplies x alone."""
    model = upstream_model(control_mode="upper_body", action_head_type=head, **SMALL)
    dit = model.action_head if head == "dit" else model.action_head.dit_head
    with torch.no_grad():
        dit.out_proj.weight.zero_()
        dit.out_proj.bias.zero_()
    if relative:
        model.action_head = StateRelativeHead(model.action_head, model.action_space.action_dim)
    model.save_pretrained(str(tmp_path))
    checkpoint, _, engine = built(tmp_path)
    assert error(checkpoint, engine) <= TOLERANCE


def test_the_hosts_update_is_upstreams_on_upstreams_predictions() -> None:
    from neon.model.action_heads import DiTActionHead

    steps = 5
    torch.manual_seed(3)
    head = DiTActionHead(POOLED, 7, 16, 24, 1, 2, num_denoise_steps=steps).eval()
    torch.nn.init.normal_(head.out_proj.weight)
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    predict = head._forward_with_t

    def watched(x: torch.Tensor, t: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        predicted = predict(x, t, features)
        seen.append((x.numpy(), predicted.numpy()))
        return predicted

    head._forward_with_t = watched
    chunk = head.sample(torch.randn(1, POOLED)).numpy()
    times = np.linspace(0, 1, steps + 1).astype(np.float32)
    after = [x.copy() for x, _ in seen]
    for i, (_, n) in enumerate(seen):
        denoise(after[i], n, times[i], times[i + 1], np.empty_like(n))
    for (x, _), ours in zip(seen[1:], after[:-1], strict=True):
        np.testing.assert_array_equal(x, ours)
    np.testing.assert_allclose(np.tanh(after[-1]), chunk, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("head", ["mlp", "flow", "dit", "ensemble"])
def test_every_graph_is_a_tensorrt_graph(tmp_path: Path, head: str) -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    settings: dict[str, Any] = {**NOT_A_DIT, "action_head_type": head, **ALL}
    if head == "flow":
        settings |= {"flow_use_cross_attention": True, "flow_cross_attention_dim": 96}
    save_upstream(tmp_path, control_mode="whole_body", **settings)
    checkpoint = load_checkpoint(tmp_path, picture=32)
    heads = export_heads(checkpoint, tmp_path, "0" * 16, tokens=11 if head == "flow" else 0)
    for part in heads.parts:
        compiled = compile_part(tmp_path, part, tmp_path, "tensorrt-rtx")
        assert (tmp_path / compiled.plan).stat().st_size > 0
