"""A task with two valid paths, and a flow head that learns both in seconds: round an obstacle.

In half ranges of the first two joints: joint 0 goes from -0.8 to 0.8, joint 1 stays at 0 but for a
detour of 0.5 to either side of the obstacle, whose place along joint 0 only the picture shows.
Demonstrations choose the side by a coin.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neon_edge.build.heads import export_heads
from neon_edge.checkpoint import Checkpoint, load_checkpoint
from neon_edge.checkpoint.networks.flow import FlowHead
from neon_edge.checkpoint.networks.heads import NeonHeads
from neon_edge.engine.manifest import HeadsManifest
from neon_edge.engine.plan import compile_part
from tests.checkpoint.upstream import POOLED, save_upstream

START, GOAL, DETOUR, REACH = -0.8, 0.8, 0.5, 0.4
TICKS = 200
"""Of a demonstration, at 50 Hz."""
OBSTACLES = (-0.2, 0.3)
WIDE, HIGH = 0.1, 0.25
"""Half the obstacle, along joints 0 and 1."""
BLUR = 0.02
"""Standard deviation of the obstacle's place in one picture."""
FLOW = {
    "control_mode": "aerial_nav",
    "include_locomotion": False,
    "use_separate_heads": False,
    "action_head_type": "flow",
    "flow_hidden_dim": 256,
    "flow_num_layers": 3,
}
"""Four columns: a flow squeezes the noise of a whole chunk through its hidden width."""


def path(progress: Any, obstacle: Any, side: Any) -> Any:
    """Both joints at `progress` in ticks, (..., 2)."""
    along = START + (GOAL - START) * np.clip(progress / TICKS, 0, 1)
    near = np.clip((along - obstacle) / REACH, -1, 1)
    return np.stack([along, side * DETOUR * np.cos(near * math.pi / 2) ** 2], axis=-1)


def picture(obstacle: Any, random: np.random.Generator) -> Any:
    """Pooled features (..., POOLED) of a picture that shows the obstacle, a little blurred."""
    place = np.asarray(obstacle) + random.normal(0, BLUR, np.shape(obstacle))
    lines = np.linspace(-0.6, 0.6, POOLED)
    return np.exp(-(((place[..., None] - lines) / 0.15) ** 2)).astype(np.float32)


def demonstrations(
    count: int, steps: int, columns: int, random: np.random.Generator
) -> tuple[Any, Any, Any]:
    """Pooled features, joints (count, columns) and chunks (count, steps, columns), normalised.

    Joints stand a little beside the path, and the chunk returns to it.
    """
    obstacle = random.uniform(*OBSTACLES, count)
    side = random.choice([-1.0, 1.0], count)
    progress = random.uniform(-5, TICKS, count)
    off = random.normal(0, 0.02, (count, 2))
    joints = np.zeros((count, columns), np.float32)
    joints[:, :2] = path(progress, obstacle, side) + off
    ahead = np.arange(1, steps + 1)
    chunks = np.zeros((count, steps, columns), np.float32)
    rows = path(np.maximum(progress, 0)[:, None] + ahead, obstacle[:, None], side[:, None])
    chunks[:, :, :2] = rows + off[:, None] * np.exp(-ahead / 8)[:, None]
    return picture(obstacle, random), joints, chunks


def train(checkpoint: Checkpoint, rounds: int, seed: int) -> Checkpoint:
    """The same checkpoint with heads that know the task; rectified flow, arXiv 2209.03003."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    heads = NeonHeads(checkpoint.config, checkpoint.actions, picture=32)
    head = heads.action_head
    assert isinstance(head, FlowHead)
    optimiser = torch.optim.Adam(heads.parameters(), 2e-3)
    fading = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, rounds)
    columns = len(checkpoint.columns)
    for _ in range(rounds):
        loss = flow_loss(heads, head, *demonstrations(256, checkpoint.steps, columns, random))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        fading.step()
    return dataclasses.replace(checkpoint, module=heads.eval().requires_grad_(False))


def flow_loss(heads: NeonHeads, head: FlowHead, pooled: Any, joints: Any, chunks: Any) -> Tensor:
    """At the times of the Euler steps, in the latent before the tanh."""
    raw = torch.from_numpy(joints) * heads.half_range + heads.middle
    features = heads.fused(torch.from_numpy(pooled), raw)
    wanted = torch.atanh(torch.from_numpy(chunks)).reshape(len(pooled), -1)
    noise = torch.randn_like(wanted)
    losses = []
    for at, part in enumerate(torch.arange(len(pooled)).chunk(head.denoise_steps)):
        time = at / head.denoise_steps
        x = (1 - time) * noise[part] + time * wanted[part]
        made = head.velocity(x, time, features[part], None)
        losses.append((made - (wanted - noise)[part]).square().mean())
    return torch.stack(losses).mean()


def trained(directory: Path, rounds: int, seed: int) -> tuple[Checkpoint, HeadsManifest]:
    """Checkpoint and compiled plans in `directory`."""
    save_upstream(directory, **FLOW)
    checkpoint = train(load_checkpoint(directory), rounds, seed)
    heads = export_heads(checkpoint, directory, "0" * 16)
    plans = [compile_part(directory, part, directory, "onnxruntime") for part in heads.parts]
    return checkpoint, heads.with_parts(plans)
