"""Our networks against upstream's `predict`, on checkpoints that upstream's own code wrote."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from neon_edge.checkpoint import load_checkpoint
from tests.checkpoint.upstream import POOLED, act, save_upstream

SAMPLES = 100
TOLERANCE = 1e-5

CASES: dict[str, dict[str, Any]] = {
    "arms_only separate": {"control_mode": "arms_only", "use_separate_heads": True},
    "arms_only separate, no chunking": {
        "control_mode": "arms_only",
        "use_separate_heads": True,
        "use_action_chunking": False,
    },
    "whole_body single": {"control_mode": "whole_body", "use_separate_heads": False},
    "whole_body separate, no chunking": {
        "control_mode": "whole_body",
        "use_separate_heads": True,
        "use_action_chunking": False,
        "action_head_layers": 4,
    },
    "upper_body single, no locomotion": {
        "control_mode": "upper_body",
        "use_separate_heads": False,
        "include_locomotion": False,
    },
    "upper_body single, two layers, no chunking": {
        "control_mode": "upper_body",
        "use_separate_heads": False,
        "use_action_chunking": False,
        "action_head_layers": 2,
    },
    "whole_body_hands single": {"control_mode": "whole_body_hands", "use_separate_heads": False},
    "aerial_full single": {"control_mode": "aerial_full", "use_separate_heads": False},
}


@pytest.mark.parametrize("proprioception", [True, False], ids=["joints", "blind"])
@pytest.mark.parametrize("imu", [True, False], ids=["imu", "no imu"])
@pytest.mark.parametrize("case", CASES)
def test_chunks_are_upstreams(tmp_path: Path, case: str, imu: bool, proprioception: bool) -> None:
    theirs = save_upstream(tmp_path, use_imu=imu, use_proprioception=proprioception, **CASES[case])
    ours = load_checkpoint(tmp_path)
    random = np.random.default_rng(0)
    worst = 0.0
    for _ in range(SAMPLES):
        pooled, joints, reading = (
            random.standard_normal(size, dtype=np.float32)
            for size in (POOLED, ours.actions.action_dim, 9)
        )
        sensors = {"imu": reading} if imu else {}
        expected = act(theirs, pooled, joints, **sensors)
        with torch.inference_mode():
            found = ours.module(
                torch.from_numpy(pooled)[None],
                torch.from_numpy(joints)[None],
                **{name: torch.from_numpy(value)[None] for name, value in sensors.items()},
            )
        assert found.shape == (1, ours.steps, len(ours.columns))
        worst = max(worst, float(np.abs(found[0].numpy() - expected).max()))
    assert worst <= TOLERANCE


def test_the_width_is_upstreams_guess_where_the_file_names_none() -> None:
    from neon.model.video_backbone import BackboneConfig, VideoBackbone

    from neon_edge.checkpoint.config import BackboneSource, NeonConfig

    for name in ("Qwen/Qwen2.5-VL-7B-Instruct", "Qwen/Qwen2.5-Omni-3B", "x/y",
                 "nvidia/Cosmos-Reason2-2B", "nvidia/Cosmos-Reason2-8B"):  # fmt: skip
        theirs = VideoBackbone(BackboneConfig(model_id=name)).hidden_size
        assert NeonConfig(backbone=BackboneSource(model_id=name)).pooled_width == theirs
