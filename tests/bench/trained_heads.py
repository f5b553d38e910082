"""Heads of every type, trained on real pooled features: upstream's own losses, or ours for ours.

The task is the smallest that makes a head's output depend on what a text means and on where the
joints are: every text has a pose, a fixed seeded map of its pooled features, and a chunk goes from
the measured joints to that pose in a straight line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from neon.model.neon_vla import NeonConfig, NeonVLA
from neon.model.video_backbone import BackboneConfig

from neon_edge.checkpoint import Checkpoint, load_checkpoint
from neon_edge.checkpoint.actions import action_space_of
from neon_edge.checkpoint.config import BackboneSource
from neon_edge.types import Float32
from tests.bench.reach_task import ARMS, teach
from tests.checkpoint.own_heads import fast_config, jepa_config, save_own, save_weights

UPSTREAM = ("mlp", "flow", "dit", "ensemble")
OWN = ("fast", "jepa")
"""Heads that upstream does not have."""
TYPES = (*UPSTREAM, *OWN)
BATCH = 64
RATE = 1e-3
REACH = 0.5
"""Of a joint's half range, both for poses and for where a chunk begins."""
SIZES: dict[str, Any] = {
    "mlp_hidden": 256,
    "flow_hidden_dim": 512,
    "flow_num_layers": 3,
    "dit_hidden_dim": 128,
    "dit_num_layers": 3,
    "dit_num_heads": 4,
}
ROWS = {"flow": 8}
"""Of a chunk, where not upstream's 16: a flow's noise has to fit through its hidden width."""


class Poses:
    """The teacher: (n, width) pooled features → where each text wants the joints, normalised."""

    def __init__(self, seen: Float32, columns: int, seed: int) -> None:
        self._mean, self._std = seen.mean(axis=0), seen.std(axis=0) + 1e-6
        drawn = np.random.default_rng(seed).standard_normal((seen.shape[1], columns))
        self._map = (drawn / np.sqrt(seen.shape[1])).astype(np.float32)

    def chunks(self, pooled: Float32, start: Float32, steps: int) -> Float32:
        """(n, steps, columns) from `start` (n, columns), all normalised to a joint's half range."""
        goal = REACH * np.tanh((pooled - self._mean) / self._std @ self._map)
        share = (np.arange(steps, dtype=np.float32) + 1)[None, :, None] / steps
        made: Float32 = start[:, None] + (goal - start)[:, None] * share
        return made


class PoseTask:
    """The same lesson in the form that heads of our own are taught in."""

    def __init__(self, seen: Float32, poses: Poses, columns: int, steps: int) -> None:
        self.columns, self.steps = columns, steps
        self._seen, self._poses = seen, poses

    def draw(self, count: int, random: np.random.Generator) -> tuple[Float32, Float32, Float32]:
        """Pooled, joints and chunks, in half ranges."""
        rows = self._seen[random.integers(len(self._seen), size=count)]
        start = random.uniform(-REACH, REACH, (count, self.columns)).astype(np.float32)
        return rows, start, self._poses.chunks(rows, start, self.steps)


def train(
    head: str, pooled: Float32, directory: Path, *, updates: int, seed: int = 0
) -> tuple[Checkpoint, Poses]:
    """A checkpoint of type `head` trained on (n, width) features, saved and loaded again."""
    if head in OWN:
        return _train_own(head, pooled, directory, updates, seed)
    torch.manual_seed(seed)
    width = BackboneConfig(hidden_size=pooled.shape[1])
    settings = {"backbone": width, "action_head_type": head, "use_separate_heads": False, **SIZES}
    settings["num_action_steps"] = ROWS.get(head, 16)
    model = NeonVLA(NeonConfig(**settings)).train()
    model.save_pretrained(str(directory))
    shape = load_checkpoint(directory)
    middle, half = (
        np.asarray(v, np.float32) for v in (shape.actions.middle, shape.actions.half_range)
    )
    poses = Poses(pooled, len(middle), seed)
    random = np.random.default_rng(seed)
    optimiser = torch.optim.Adam(model.parameters(), RATE)
    for _ in range(updates):
        rows = pooled[random.integers(len(pooled), size=BATCH)]
        start = random.uniform(-REACH, REACH, (BATCH, len(middle))).astype(np.float32)
        features = torch.from_numpy(rows)
        model.backbone.encode = lambda features=features, **_: {"pooled": features}
        loss = model.compute_loss(
            proprioception=torch.from_numpy(middle + half * start),
            target_actions=torch.from_numpy(poses.chunks(rows, start, shape.steps)),
        )["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval().save_pretrained(str(directory))
    return load_checkpoint(directory), poses


def _train_own(
    head: str, pooled: Float32, directory: Path, updates: int, seed: int
) -> tuple[Checkpoint, Poses]:
    """Of both arms in eight steps: a chunk of `fast` is a text, and is read token by token."""
    shape: dict[str, Any] = {"backbone": BackboneSource(hidden_size=pooled.shape[1]), **ARMS}
    config = (
        fast_config(hidden=96, budget=112, **shape)
        if head == "fast"
        else jepa_config(hidden=96, **shape)
    )
    columns, steps = action_space_of(config).action_dim, config.steps
    poses = Poses(pooled, columns, seed)
    task = PoseTask(pooled, poses, columns, steps)
    _, _, chunks = task.draw(1500, np.random.default_rng(seed + 1))
    save_own(directory, config, seed, chunks=chunks, vocabulary=500)
    save_weights(directory, teach(load_checkpoint(directory), task, updates, seed).module)
    return load_checkpoint(directory), poses
