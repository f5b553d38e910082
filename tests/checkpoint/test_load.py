"""What is wrong with a checkpoint is named, and nothing wrong is loaded."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from neon_edge.checkpoint import load_checkpoint
from neon_edge.errors import ConfigWrong
from tests.checkpoint.upstream import CONFIG_FIELDS, save_upstream

WEIGHTS = "neon_weights.pt"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_upstream(tmp_path, control_mode="arms_only", use_separate_heads=False, mlp_hidden=32)
    return tmp_path


def edit_weights(directory: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    state = torch.load(directory / WEIGHTS, weights_only=True)
    edit(state)
    torch.save(state, directory / WEIGHTS)


def edit_json(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def refused(directory: Path) -> str:
    with pytest.raises(ConfigWrong) as caught:
        load_checkpoint(directory)
    assert caught.value.exit_code == 78
    return str(caught.value)


def test_truncated_weights(saved: Path) -> None:
    whole = (saved / WEIGHTS).read_bytes()
    for kept in (0, 10, len(whole) // 2, len(whole) - 1):
        (saved / WEIGHTS).write_bytes(whole[:kept])
        assert "damaged" in refused(saved) and WEIGHTS in refused(saved)


def test_missing_tensor(saved: Path) -> None:
    edit_weights(saved, lambda state: state.pop("fusion.0.bias"))
    assert "lacks tensors" in refused(saved) and "fusion.0.bias" in refused(saved)


def test_extra_tensor(saved: Path) -> None:
    edit_weights(saved, lambda state: state.update({"action_head.head.more": torch.zeros(3)}))
    assert "action_head.head.more" in refused(saved)


def test_wrong_shape(saved: Path) -> None:
    edit_weights(saved, lambda state: state.update({"fusion.0.bias": torch.zeros(7)}))
    assert "fusion.0.bias is (7,)" in refused(saved) and "(128,)" in refused(saved)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_not_finite(saved: Path, value: float) -> None:
    edit_weights(saved, lambda state: state["fusion.0.weight"].data[3, 5].fill_(value))
    assert "fusion.0.weight" in refused(saved) and "1 of" in refused(saved)


def test_integers_are_not_weights(saved: Path) -> None:
    edit_weights(saved, lambda state: state.update({"fusion.0.bias": torch.zeros(128).long()}))
    assert "fusion.0.bias" in refused(saved) and "int64" in refused(saved)


def test_not_a_map_of_tensors(saved: Path) -> None:
    torch.save({"state_dict": {"a": torch.zeros(1)}}, saved / WEIGHTS)
    assert "map from parameter name to tensor" in refused(saved)


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_pickled_code_is_not_run(saved: Path) -> None:
    trace = saved / "was_here"
    torch.save({"fusion.0.bias": Bomb(trace)}, saved / WEIGHTS)
    refused(saved)
    assert not trace.exists()


@pytest.mark.parametrize("name", ["config.json", "action_space.json", WEIGHTS])
def test_missing_file(saved: Path, name: str) -> None:
    (saved / name).unlink()
    assert name in refused(saved)


@pytest.mark.parametrize("name", ["config.json", "action_space.json"])
def test_broken_json(saved: Path, name: str) -> None:
    (saved / name).write_text((saved / name).read_text()[:-5])
    assert name in refused(saved)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("control_mode", "arms"),
        ("action_head_type", "transformer"),
        ("num_action_steps", "16"),
        ("num_action_steps", 0),
        ("mlp_hidden", -512),
        ("use_imu", 1),
        ("backbone", {"hidden_size": "128"}),
    ],
)
def test_wrong_values_are_named(saved: Path, field: str, value: Any) -> None:
    edit_json(saved / "config.json", **{field: value})
    assert f"$.{field}" in refused(saved)


def test_unknown_fields_of_a_later_upstream_are_skipped(saved: Path) -> None:
    edit_json(saved / "config.json", invented_next_year=3)
    load_checkpoint(saved)


def test_every_field_we_read_is_upstreams() -> None:
    import msgspec

    from neon_edge.checkpoint.config import OURS, NeonConfig

    for ours in msgspec.structs.fields(NeonConfig):
        if ours.name in OURS:
            assert ours.default is None and ours.name not in CONFIG_FIELDS
            continue
        theirs = CONFIG_FIELDS[ours.name]
        if ours.name != "backbone":
            assert ours.default == theirs.default, ours.name


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mode", "upper_body"),
        ("include_locomotion", False),
        ("num_joints", 15),
        ("action_dim", 18),
        ("joint_names", ["left_elbow"] * 14),
        ("joint_names", ["left_elbow"]),
        ("locomotion_limits", [1.5, 0.0, 1.0]),
    ],
)
def test_files_that_contradict_each_other(saved: Path, field: str, value: Any) -> None:
    edit_json(saved / "action_space.json", **{field: value})
    assert field in refused(saved)


def test_copies_of_frozen_backbone_tensors_are_set_aside(saved: Path) -> None:
    name = "backbone._model.thinker.audio_tower.conv1.weight"
    edit_weights(saved, lambda state: state.update({name: torch.zeros(3)}))
    assert list(load_checkpoint(saved).set_aside) == [name]


def test_a_trained_backbone_is_refused(saved: Path) -> None:
    name = "backbone._model.layers.0.q_proj.lora_A.default.weight"
    edit_weights(saved, lambda state: state.update({name: torch.zeros(3)}))
    assert "lora_A" in refused(saved)


def test_half_precision_weights_are_widened(saved: Path) -> None:
    edit_weights(saved, lambda s: s.update({k: v.bfloat16() for k, v in s.items()}))
    kinds = {p.dtype for p in load_checkpoint(saved).module.parameters()}
    assert kinds == {torch.float32}
