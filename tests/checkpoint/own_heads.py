"""Checkpoints of the heads that upstream does not have, in the layout that the loader takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import torch

from neon_edge.checkpoint.actions import action_space_of
from neon_edge.checkpoint.config import BackboneSource, FastShape, JepaShape, NeonConfig, as_dict
from neon_edge.checkpoint.load import ACTION_TOKENIZER, PICTURE
from neon_edge.checkpoint.networks.heads import NeonHeads
from neon_edge.engine.action_tokens import open_action_tokens
from tests.engine.fast_tokenizer import fit, waves

POOLED = 128


def fast_config(**settings: Any) -> NeonConfig:
    shape = FastShape(hidden=48, budget=settings.pop("budget", 64))
    return _config("fast", neon_edge_fast=shape, **settings)


def jepa_config(**settings: Any) -> NeonConfig:
    return _config("jepa", neon_edge_jepa=JepaShape(embedding=24, hidden=48), **settings)


def _config(head: Any, **settings: Any) -> NeonConfig:
    settings.setdefault("backbone", BackboneSource(hidden_size=POOLED))
    settings.setdefault("control_mode", "aerial_nav")
    return NeonConfig(action_head_type=head, **settings)


def save_own(
    directory: Path, config: NeonConfig, seed: int = 0, relative: bool = False
) -> NeonHeads:
    """Write a checkpoint with random weights; a fast one gets a tokenizer trained on waves."""
    directory.mkdir(parents=True, exist_ok=True)
    actions = action_space_of(config)
    tokens = None
    if config.action_head_type == "fast":
        chunks = waves(200, config.steps, actions.action_dim, seed)
        fit(directory / ACTION_TOKENIZER, chunks, scale=10, spare=20)
        tokens = open_action_tokens(directory / ACTION_TOKENIZER, config.steps, actions.action_dim)
    torch.manual_seed(seed)
    heads = NeonHeads(config, actions, PICTURE, relative, tokens)
    (directory / "config.json").write_text(json.dumps(as_dict(config)))
    (directory / "action_space.json").write_bytes(msgspec.json.encode(actions))
    save_weights(directory, heads)
    return heads.eval().requires_grad_(False)


def save_weights(directory: Path, heads: NeonHeads) -> None:
    """Replace a checkpoint's weights."""
    state = {name: tensor.detach().clone() for name, tensor in heads.named_parameters()}
    torch.save(state, directory / "neon_weights.pt")
