"""Upstream itself, as the oracle: writes checkpoints, and acts on pooled features we give it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from neon.data.action_space import ControlMode, G1ActionSpace
from neon.model.neon_vla import NeonConfig, NeonVLA
from neon.model.video_backbone import BackboneConfig

POOLED = 128

# Networks this small lose more to a second thread than they gain.
torch.set_num_threads(1)


def upstream_model(seed: int = 0, **settings: Any) -> NeonVLA:
    """A model whose parameters are all random, norms and scales included, in eval mode."""
    settings.setdefault("backbone", BackboneConfig(hidden_size=POOLED))
    torch.manual_seed(seed)
    model = NeonVLA(NeonConfig(**settings))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Upstream starts norms and scales at one, gates and last layers at zero: half of a
            # mistake could not be seen.
            if parameter.dim() == 1 and not name.endswith("bias"):
                parameter.copy_(torch.randn_like(parameter))
            elif not parameter.any():
                parameter.copy_(0.2 * torch.randn_like(parameter))
    return model.eval()


def save_upstream(directory: Path, seed: int = 0, **settings: Any) -> NeonVLA:
    """Write a checkpoint with upstream's own `save_pretrained`."""
    model = upstream_model(seed, **settings)
    model.save_pretrained(str(directory))
    return model


def act(model: NeonVLA, pooled: np.ndarray, joints: np.ndarray, **sensors: np.ndarray) -> Any:
    """Upstream's `predict` from given pooled features (width,): denormalised (steps, columns)."""
    features = torch.from_numpy(pooled)[None]
    model.backbone.encode = lambda **_: {"pooled": features}
    return model.predict(proprioception=joints, **sensors).raw_actions


def action_space(mode: str, locomotion: bool = True) -> G1ActionSpace:
    """Upstream's own action space."""
    return G1ActionSpace(mode=ControlMode(mode), include_locomotion=locomotion)


CONFIG_FIELDS = {field.name: field for field in dataclasses.fields(NeonConfig)}
