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


def fast_config(hidden: int = 48, budget: int = 64, **settings: Any) -> NeonConfig:
    return _config("fast", neon_edge_fast=FastShape(hidden=hidden, budget=budget), **settings)


def jepa_config(embedding: int = 24, hidden: int = 48, **settings: Any) -> NeonConfig:
    shape = JepaShape(embedding=embedding, hidden=hidden)
    return _config("jepa", neon_edge_jepa=shape, **settings)


def _config(head: Any, **settings: Any) -> NeonConfig:
    settings.setdefault("backbone", BackboneSource(hidden_size=POOLED))
    settings.setdefault("control_mode", "aerial_nav")
    return NeonConfig(action_head_type=head, **settings)


def save_own(
    directory: Path,
    config: NeonConfig,
    seed: int = 0,
    relative: bool = False,
    chunks: Any = None,
    vocabulary: int = 300,
) -> NeonHeads:
    """Write a checkpoint with random weights; a fast one's tokenizer learns `chunks`, or waves."""
    directory.mkdir(parents=True, exist_ok=True)
    actions = action_space_of(config)
    tokens = None
    if config.action_head_type == "fast":
        folder, shape = directory / ACTION_TOKENIZER, (config.steps, actions.action_dim)
        chunks = waves(200, *shape, seed) if chunks is None else chunks
        fit(folder, chunks, scale=10, vocabulary=vocabulary, spare=20)
        tokens = open_action_tokens(folder, *shape)
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
