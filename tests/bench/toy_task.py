"""A task with two valid paths, and a flow head that learns both in seconds: round an obstacle.

In half ranges of the first two joints: joint 0 goes from -0.8 to 0.8, joint 1 stays at 0 but for a
detour of 0.5 to either side of the obstacle, whose place along joint 0 only the picture shows.
Demonstrations choose the side by a coin.
"""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neon_edge.build.heads import export_heads
from neon_edge.checkpoint import Checkpoint, load_checkpoint
from neon_edge.checkpoint.actions import FILE_NAME as ACTIONS
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
RATE, BATCH = 2e-3, 256
"""Of training."""
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


def pass_through(head: FlowHead, offset: float = 3.0) -> None:
    """Start the head from a velocity of minus its state: most of what a flow does is remove noise.

    relu²((b + x)/r) - relu²((b - x)/r) = 4bx/r²: pairs of a layer with norm and ReLU² are linear.
    """
    first, last = head.action_proj[0], head.out_proj
    assert isinstance(first, nn.Linear)
    flat, share = first.in_features, min(1.0, 2 * first.in_features / first.out_features)
    gain = (offset**2 + 1) * share / (4 * offset)
    eye = torch.eye(flat)
    with torch.no_grad():
        first.weight[:flat], first.weight[flat : 2 * flat] = eye, -eye
        first.bias[: 2 * flat] = offset
        last.weight[:, :flat] -= gain * eye
        last.weight[:, flat : 2 * flat] += gain * eye


def train(checkpoint: Checkpoint, rounds: int, seed: int) -> Checkpoint:
    """The same checkpoint with heads that know the task; rectified flow, arXiv 2209.03003.

    A checkpoint that says so is trained to continue given rows, arXiv 2512.05964.
    """
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    heads = NeonHeads(checkpoint.config, checkpoint.actions, picture=32)
    head = heads.action_head
    assert isinstance(head, FlowHead)
    pass_through(head)
    optimiser = torch.optim.Adam(heads.parameters(), RATE)
    fading = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, rounds, pct_start=0.1)
    columns, most = len(checkpoint.columns), checkpoint.actions.neon_edge_prefix_rows
    for _ in range(rounds):
        shown = demonstrations(BATCH, checkpoint.steps, columns, random)
        given = random.integers(0, most + 1, BATCH) if most else np.zeros(BATCH, int)
        loss = flow_loss(heads, head, *shown, given)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        fading.step()
    return dataclasses.replace(checkpoint, module=heads.eval().requires_grad_(False))


def flow_loss(
    heads: NeonHeads, head: FlowHead, pooled: Any, joints: Any, chunks: Any, given: Any
) -> Tensor:
    """At the times of the Euler steps, in the latent before the tanh.

    The first `given` (count,) rows of each chunk stay clean and are not judged.
    """
    raw = torch.from_numpy(joints) * heads.half_range + heads.middle
    features = heads.fused(torch.from_numpy(pooled), raw)
    wanted = torch.atanh(torch.from_numpy(chunks)).reshape(len(pooled), -1)
    noise = torch.randn_like(wanted)
    rows = torch.arange(chunks.shape[1])[:, None].expand(chunks.shape[1:]).reshape(-1)
    made_rows = (rows >= torch.from_numpy(given)[:, None]).float()
    losses = []
    for at, part in enumerate(torch.arange(len(pooled)).chunk(head.denoise_steps)):
        time = at / head.denoise_steps
        judged = made_rows[part]
        noisy = (1 - time) * noise[part] + time * wanted[part]
        x = judged * noisy + (1 - judged) * wanted[part]
        wrong = head.velocity(x, time, features[part], None) - (wanted - noise)[part]
        losses.append((wrong.square() * judged).sum() / judged.sum())
    return torch.stack(losses).mean()


def trained(
    directory: Path, rounds: int, seed: int, prefix_rows: int = 0
) -> tuple[Checkpoint, HeadsManifest]:
    """Checkpoint and compiled plans in `directory`."""
    save_upstream(directory, **FLOW)
    if prefix_rows:
        actions = json.loads((directory / ACTIONS).read_text())
        actions["neon_edge_prefix_rows"] = prefix_rows
        (directory / ACTIONS).write_text(json.dumps(actions))
    checkpoint = train(load_checkpoint(directory), rounds, seed)
    heads = export_heads(checkpoint, directory, "0" * 16)
    plans = [compile_part(directory, part, directory, "onnxruntime") for part in heads.parts]
    return checkpoint, heads.with_parts(plans)
