"""A task that both of our own heads learn in seconds: go where the picture says, from anywhere.

In half ranges: the pooled features show a scene, which names a goal for every joint, and a chunk
covers a share of what is left in every row.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from neon_edge.build.heads import export_heads
from neon_edge.checkpoint import Checkpoint, load_checkpoint
from neon_edge.checkpoint.actions import action_space_of
from neon_edge.checkpoint.config import NeonConfig
from neon_edge.checkpoint.networks.fast import FastHead
from neon_edge.checkpoint.networks.heads import NeonHeads
from neon_edge.checkpoint.networks.jepa import JepaHead, unit
from neon_edge.engine.manifest import HeadsManifest
from neon_edge.engine.plan import compile_part
from tests.checkpoint.own_heads import save_own, save_weights

REACH = 0.5
"""Goals lie inside this, in half ranges."""
SHARE = 0.12
"""Of what is left, each row."""
DIMENSIONS = 4
"""Degrees of freedom of a scene, whatever the number of joints."""
BLUR = 0.1
"""Of the pooled features, whose own standard deviation is 2."""


class Reach:
    """Seeded goals and demonstrations for one configuration."""

    def __init__(self, config: NeonConfig, seed: int) -> None:
        self.columns, self.steps = action_space_of(config).action_dim, config.steps
        self.width = config.pooled_width
        fixed = np.random.default_rng(seed)
        self._shown = fixed.standard_normal((DIMENSIONS, self.width))
        self._meant = fixed.uniform(-1, 1, (DIMENSIONS, self.columns))

    def pooled(self, scene: Any, random: np.random.Generator) -> Any:
        """Scenes (n, DIMENSIONS) -> pooled features (n, width) float32, a little blurred."""
        shown = scene @ self._shown
        return (shown + BLUR * random.standard_normal(shown.shape)).astype(np.float32)

    def goal(self, scene: Any) -> Any:
        """(n, DIMENSIONS) -> (n, columns)."""
        return REACH * np.tanh(scene @ self._meant)

    def chunk(self, goal: Any, joints: Any) -> Any:
        """Goals and joints (n, columns) -> (n, steps, columns)."""
        left = (1 - SHARE) ** np.arange(1, self.steps + 1)
        return goal[:, None] + (joints - goal)[:, None] * left[:, None]

    def draw(self, count: int, random: np.random.Generator) -> tuple[Any, Any, Any]:
        """Pooled, joints and chunks, float32; joints mostly on their way to the goal."""
        scene = random.standard_normal((count, DIMENSIONS))
        goal, start = self.goal(scene), random.uniform(-REACH, REACH, (count, self.columns))
        joints = goal + (start - goal) * random.uniform(0, 1, (count, 1)) ** 2
        rows = self.chunk(goal, joints).astype(np.float32)
        return self.pooled(scene, random), joints.astype(np.float32), rows


class Task(Protocol):
    """What a head can be taught: `draw` gives pooled, joints and chunks, in half ranges."""

    columns: int
    steps: int

    def draw(self, count: int, random: np.random.Generator) -> tuple[Any, Any, Any]:
        """(count, width), (count, columns) and (count, steps, columns), float32."""


def train(checkpoint: Checkpoint, rounds: int, seed: int, batch: int = 128) -> Checkpoint:
    """The same checkpoint with heads that know how to reach."""
    return teach(checkpoint, Reach(checkpoint.config, seed), rounds, seed, batch)


def teach(
    checkpoint: Checkpoint, task: Task, rounds: int, seed: int, batch: int = 128
) -> Checkpoint:
    """The same checkpoint with heads of our own that know the task."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    heads = NeonHeads(checkpoint.config, checkpoint.actions, 32, tokens=checkpoint.tokens)
    head = heads.action_head
    parts: list[nn.Module] = [heads]
    if isinstance(head, JepaHead):
        parts.append(action_encoder(task, head.width))
    optimiser = torch.optim.Adam([p for part in parts for p in part.parameters()], 4e-3)
    fading = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, rounds)
    for _ in range(rounds):
        pooled, joints, chunks = task.draw(batch, random)
        raw = torch.from_numpy(joints) * heads.half_range + heads.middle
        features = heads.fused(torch.from_numpy(pooled), raw)
        if isinstance(head, FastHead):
            loss = fast_loss(head, features, chunks)
        else:
            assert isinstance(head, JepaHead)
            loss = jepa_loss(head, parts[1], features, torch.from_numpy(chunks))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        fading.step()
    return dataclasses.replace(checkpoint, module=heads.eval().requires_grad_(False))


def fast_loss(head: FastHead, features: Tensor, chunks: Any) -> Tensor:
    """Cross entropy of every next token, the end included, given those before it."""
    said = [head.tokens.encode(chunk) for chunk in chunks]
    longest, end = max(map(len, said)) + 1, head.tokens.size
    wanted = torch.full((len(said), longest), -1)
    places = torch.zeros((len(said), longest), dtype=torch.long)
    for row, ids in enumerate(said):
        wanted[row, : len(ids) + 1] = torch.tensor([*ids, end])
        written = np.cumsum([head.tokens.characters[one] for one in ids])
        places[row, 1 : len(ids) + 1] = torch.from_numpy(written)
    before = torch.cat([torch.full((len(said), 1), end), wanted[:, :-1].clamp(min=0)], dim=1)
    state, seen = head.begin(features)
    scores = []
    for at in range(longest):
        made, state = head.step(before[:, at], places[:, at], seen, state)
        scores.append(made)
    stacked = torch.stack(scores, dim=1)
    return nn.functional.cross_entropy(stacked.flatten(0, 1), wanted.flatten(), ignore_index=-1)


def action_encoder(task: Task, width: int) -> nn.Module:
    """Chunks -> embeddings, for training alone."""
    flat = task.steps * task.columns
    return nn.Sequential(nn.Flatten(), nn.Linear(flat, 128), nn.GELU(), nn.Linear(128, width))


def jepa_loss(head: JepaHead, encoder: nn.Module, features: Tensor, chunks: Tensor) -> Tensor:
    """The predicted embedding is that of the action, and both decode to it."""
    target, found = unit(encoder(chunks)), head.embedding(features)
    apart = (found - target.detach()).square().mean()
    return apart + sum((head.decoder(e) - chunks).square().mean() * 20 for e in (target, found))


def compiled(checkpoint: Checkpoint) -> HeadsManifest:
    """Its plans beside it."""
    directory = checkpoint.directory
    heads = export_heads(checkpoint, directory, "0" * 16)
    plans = [compile_part(directory, part, directory, "onnxruntime") for part in heads.parts]
    return heads.with_parts(plans)


def trained(directory: Path, config: NeonConfig, rounds: int, seed: int) -> Checkpoint:
    """A checkpoint on disk that knows the task, its tokenizer, if it has one, included."""
    _, _, chunks = Reach(config, seed).draw(1500, np.random.default_rng(seed + 1))
    save_own(directory, config, seed, chunks=chunks, vocabulary=500)
    save_weights(directory, train(load_checkpoint(directory), rounds, seed).module)
    return load_checkpoint(directory)


ARMS: dict[str, Any] = {
    "control_mode": "arms_only",
    "include_locomotion": False,
    "num_action_steps": 8,
}
"""Both arms of the simulated robot."""
