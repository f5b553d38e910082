"""Heads that sample, and every sensor, against upstream on the same noise."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from neon.data.action_space import G1ActionSpace
from neon.model.action_heads import StateRelativeHead

from neon_edge.checkpoint import Checkpoint, load_checkpoint
from neon_edge.checkpoint.joints import MODES
from neon_edge.checkpoint.networks.dit import DitHead
from tests.checkpoint.upstream import POOLED, act, save_upstream, upstream_model

SMALL: dict[str, Any] = {
    "mlp_hidden": 48,
    "flow_hidden_dim": 64,
    "flow_num_layers": 3,
    "dit_hidden_dim": 48,
    "dit_num_layers": 3,
    "dit_num_heads": 4,
}
SAMPLES = 5
TOLERANCE = 1e-4


def observation(checkpoint: Checkpoint, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        "pooled": random.standard_normal((1, POOLED), dtype=np.float32),
        "joints": checkpoint.sample_joints(1, random),
        **checkpoint.sample_sensors(1, random),
    }


def ours(checkpoint: Checkpoint, seen: dict[str, np.ndarray]) -> np.ndarray:
    with torch.inference_mode():
        tensors = {name: torch.from_numpy(value) for name, value in seen.items()}
        return checkpoint.module(**tensors)[0].numpy()


def theirs(monkeypatch: pytest.MonkeyPatch, model: Any, seen: dict[str, np.ndarray]) -> np.ndarray:
    """Upstream's `predict`, its draws replaced by ours in the order in which it makes them."""
    seen = dict(seen)
    draws = list(torch.from_numpy(seen.pop("noise", np.zeros((1, 0)))[0]))

    def drawn(*shape: int, **_: Any) -> torch.Tensor:
        return draws.pop(0).reshape(shape)

    names = {"eef": "eef_state"}
    pooled, joints = seen.pop("pooled")[0], seen.pop("joints")[0]
    sensors = {names.get(name, name): value[0] for name, value in seen.items()}
    with monkeypatch.context() as patch:
        patch.setattr(torch, "randn", drawn)
        actions = act(model, pooled, joints, **sensors)
    assert not draws, "upstream drew less noise than we feed"
    return actions


def worst(monkeypatch: pytest.MonkeyPatch, directory: Path, model: Any) -> float:
    checkpoint = load_checkpoint(directory, picture=32)
    errors = []
    for seed in range(SAMPLES):
        seen = observation(checkpoint, seed)
        expected = theirs(monkeypatch, model, seen)
        found = ours(checkpoint, seen)
        assert found.shape == expected.shape == (checkpoint.steps, len(checkpoint.columns))
        errors.append(np.abs(found - expected).max())
    return float(np.max(errors))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("head", ["mlp", "flow"])
def test_every_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: str, mode: str) -> None:
    model = save_upstream(
        tmp_path, control_mode=mode, action_head_type=head, use_separate_heads=False, **SMALL
    )
    assert worst(monkeypatch, tmp_path, model) <= TOLERANCE


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("head", ["dit", "ensemble"])
def test_a_dit_predicts_upstreams_noise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: str, mode: str
) -> None:
    model = save_upstream(tmp_path, control_mode=mode, action_head_type=head, **SMALL)
    checkpoint = load_checkpoint(tmp_path)
    inner = checkpoint.module.action_head
    mine = inner if head == "dit" else inner.dit_head
    assert isinstance(mine, DitHead)
    upstream = model.action_head if head == "dit" else model.action_head.dit_head
    random = torch.Generator().manual_seed(0)
    columns = checkpoint.actions.action_dim
    with torch.inference_mode():
        for time in mine.times:
            x = torch.randn(4, checkpoint.steps, columns, generator=random)
            features = torch.randn(4, POOLED, generator=random)
            expected = upstream._forward_with_t(x, torch.full((4,), time), features)
            found = mine.predicted_noise(x, time, features)
            assert (found - expected).abs().max() <= TOLERANCE


@pytest.mark.parametrize("head", ["dit", "ensemble"])
def test_chunks_of_a_dit_are_upstreams_where_its_sampling_is_sane(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: str
) -> None:
    """With upstream's own start, a zero output layer, the first update multiplies x alone."""
    model = upstream_model(control_mode="whole_body", action_head_type=head, **SMALL)
    dit = model.action_head if head == "dit" else model.action_head.dit_head
    with torch.no_grad():
        dit.out_proj.weight.zero_()
        dit.out_proj.bias.zero_()
    model.save_pretrained(str(tmp_path))
    assert worst(monkeypatch, tmp_path, model) <= TOLERANCE


SENSORS: dict[str, dict[str, Any]] = {
    "lidar": {"use_lidar": True, "lidar_points": 50},
    "eef": {"use_eef": True},
    "gps": {"use_gps": True},
    "depth": {"use_depth": True},
    "segmentation": {"use_segmentation": True, "seg_num_classes": 5},
    "tactile": {"use_tactile": True},
    "imu": {"use_imu": True},
    "force": {"use_force": True},
}
ALL = {name: value for settings in SENSORS.values() for name, value in settings.items()}


@pytest.mark.parametrize("names", [*SENSORS, "all", "all, blind"])
def test_every_sensor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: str) -> None:
    settings = SENSORS.get(names, ALL)
    blind = {"use_proprioception": False} if "blind" in names else {}
    model = save_upstream(
        tmp_path, control_mode="upper_body", action_head_type="flow", **settings, **blind, **SMALL
    )
    assert worst(monkeypatch, tmp_path, model) <= TOLERANCE


def test_a_relative_head_adds_in_normalised_units(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = upstream_model(
        control_mode="upper_body", action_head_type="flow", use_separate_heads=False, **SMALL
    )
    space: G1ActionSpace = model.action_space
    model.action_head = StateRelativeHead(model.action_head, space.action_dim)
    model.save_pretrained(str(tmp_path))
    checkpoint = load_checkpoint(tmp_path)
    assert checkpoint.module.relative
    for seed in range(SAMPLES):
        seen = observation(checkpoint, seed)
        tensors = {name: torch.from_numpy(value) for name, value in seen.items()}
        with torch.inference_mode(), monkeypatch.context() as patch:
            features = checkpoint.module.fused(tensors["pooled"], tensors["joints"])
            patch.setattr(torch, "randn", lambda *s, **_: tensors["noise"].reshape(s))  # noqa: B023
            state = torch.from_numpy(space.normalize(seen["joints"]))
            expected = space.denormalize(
                model.action_head.sample(features, current_state=state)[0].numpy()
            )
        assert np.abs(ours(checkpoint, seen) - expected).max() <= TOLERANCE


def test_tokens_reach_the_flow_only_where_they_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = save_upstream(
        tmp_path, action_head_type="flow", flow_use_cross_attention=True,
        flow_cross_attention_dim=96, **SMALL,
    )  # fmt: skip
    assert worst(monkeypatch, tmp_path, model) <= TOLERANCE, "upstream's predict uses no tokens"
    checkpoint = load_checkpoint(tmp_path)
    head = checkpoint.module.action_head
    random = torch.Generator().manual_seed(0)
    columns = checkpoint.actions.action_dim
    x = torch.randn(3, checkpoint.steps * columns, generator=random)
    features = torch.randn(3, POOLED, generator=random)
    tokens = torch.randn(3, 11, 96, generator=random)
    with torch.inference_mode():
        for time in (0.0, 0.25, 0.5, 0.75):
            expected = model.action_head._predict_velocity(
                x, torch.full((3,), time), features, encoder_hidden_states=tokens
            )
            found = head.velocity(x, time, features, tokens)
            assert (found - expected).abs().max() <= TOLERANCE
            assert (found - head.velocity(x, time, features, None)).abs().max() > 1e-2


def test_whisper_and_speech_tensors_are_set_aside(tmp_path: Path) -> None:
    audio = {"encoder_type": "whisper", "projection_dim": 24}
    model = upstream_model(audio=audio, use_separate_heads=False)
    model.audio_encoder._encoder = torch.nn.Linear(3, 3)
    model.save_pretrained(str(tmp_path))
    checkpoint = load_checkpoint(tmp_path)
    assert {name.split(".")[0] for name in checkpoint.set_aside} == {"audio_encoder", "speech_head"}
    seen = observation(checkpoint, 0)
    assert seen["audio"].shape == (1, 512)
    model.audio_encoder.encode = lambda pooled: model.audio_encoder.projection(pooled)  # noqa: PLW0108
    expected = act(model, seen["pooled"][0], seen["joints"][0], audio=seen["audio"][0])
    assert np.abs(ours(checkpoint, seen) - expected).max() <= TOLERANCE


def test_mel_audio(tmp_path: Path) -> None:
    audio = {"encoder_type": "mel", "enable_speech_output": False, "max_audio_seconds": 1.0}
    model = upstream_model(audio=audio, use_separate_heads=False)
    encoder = model.audio_encoder
    encoder._encoder = torch.nn.Sequential(
        torch.nn.Conv1d(80, 256, kernel_size=3, padding=1), torch.nn.GELU(),
        torch.nn.Conv1d(256, 512, kernel_size=3, padding=1), torch.nn.GELU(),
        torch.nn.AdaptiveAvgPool1d(1),
    )  # fmt: skip
    encoder._mel_transform = lambda spectrogram: spectrogram
    model.eval().save_pretrained(str(tmp_path))
    checkpoint = load_checkpoint(tmp_path)
    seen = observation(checkpoint, 0)
    assert seen["audio"].shape == (1, 80, 101)
    expected = act(model, seen["pooled"][0], seen["joints"][0], audio=seen["audio"][0])
    assert np.abs(ours(checkpoint, seen) - expected).max() <= TOLERANCE


def test_a_mel_encoder_that_was_never_saved_is_missed(tmp_path: Path) -> None:
    from neon_edge.errors import ConfigWrong

    audio = {"encoder_type": "mel", "enable_speech_output": False}
    save_upstream(tmp_path, audio=audio, use_separate_heads=False)
    with pytest.raises(ConfigWrong, match="lacks tensors"):
        load_checkpoint(tmp_path)
