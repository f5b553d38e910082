"""Each refusal next to proof: upstream builds and saves the checkpoint, and cannot act with it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neon_edge.checkpoint import load_checkpoint
from neon_edge.errors import ConfigWrong
from tests.checkpoint.upstream import POOLED, act, save_upstream

IMPOSSIBLE: dict[str, tuple[dict[str, Any], str]] = {
    "separate chunking upper_body": ({"control_mode": "upper_body"}, "chunking"),
    "separate chunking whole_body": ({"control_mode": "whole_body"}, "chunking"),
    "separate hands": ({"control_mode": "whole_body_hands"}, "46 columns"),
    "separate hands, no chunking": (
        {"control_mode": "whole_body_hands", "use_action_chunking": False},
        "46 columns",
    ),
    "separate hands, no locomotion": (
        {"control_mode": "whole_body_hands", "include_locomotion": False},
        "43 columns",
    ),
    "separate aerial_nav": ({"control_mode": "aerial_nav"}, "4 columns"),
    "separate aerial_full": ({"control_mode": "aerial_full"}, "7 columns"),
    "separate aerial, no locomotion": (
        {"control_mode": "aerial_manip", "include_locomotion": False},
        "heads: none",
    ),
    "audio omni": (
        {"audio": {"encoder_type": "omni", "enable_speech_output": False}},
        '"omni"',
    ),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_upstream_cannot_act_and_we_say_why(tmp_path: Path, case: str) -> None:
    settings, reason = IMPOSSIBLE[case]
    model = save_upstream(tmp_path, **settings)
    zeros = np.zeros(POOLED, np.float32), np.zeros(model.action_space.action_dim, np.float32)
    for sensors in ({}, {"audio": np.zeros(16000, np.float32)}):
        try:
            actions = act(model, *zeros, **sensors)
        except (RuntimeError, IndexError, ValueError, StopIteration):
            continue
        assert actions.shape[-1] != model.action_space.action_dim
    with pytest.raises(ConfigWrong) as caught:
        load_checkpoint(tmp_path)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"action_head_type": "dit", "dit_hidden_dim": 100, "dit_num_heads": 6},
        {"action_head_type": "flow", "flow_hidden_dim": 30, "flow_use_cross_attention": True},
    ],
)
def test_networks_that_cannot_be_built(tmp_path: Path, settings: dict[str, Any]) -> None:
    import json

    from tests.checkpoint.test_load import edit_json

    with pytest.raises(AssertionError):
        save_upstream(tmp_path, **settings)
    save_upstream(tmp_path, use_separate_heads=False)
    edit_json(tmp_path / "config.json", **json.loads(json.dumps(settings)))
    with pytest.raises(ConfigWrong, match="does not divide"):
        load_checkpoint(tmp_path)
