"""How smooth is each strategy where features change, and does the task succeed?

    python tests/bench/bench_continuity.py [--episodes 20] [--rounds 1200] [--kept DIR] [--json]

Two flow heads are trained here on `toy_task.py` (two valid paths), the second to continue given
rows; they are exported and compiled like any other, and played by the runtime's own strategies at
50 Hz under backbones of four periods; a picture's features arrive one period after it was taken.
`velocity` (rad/s) and `jerk` (rad/s3) are of the commands, before any limit: the worst within three
ticks of a swap of features, and the worst anywhere. Success: past the obstacle without touching it
and at the goal within 8 s; `hit` touched it, and who did neither stood still or was too slow. Each
share of successes stands with the range that holds the true one with 95 %. The joints follow a
command by 80 % a tick.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from neon_edge.checkpoint import load_checkpoint
from neon_edge.config import load_robot
from neon_edge.config.heads import HeadsChoice
from neon_edge.engine.manifest import HeadsManifest
from neon_edge.engine.plan import open_heads_engine, this_machine
from neon_edge.errors import ConfigWrong
from neon_edge.heads.network import HeadNetwork
from neon_edge.heads.strategy import STEPPED, Heads, open_strategy, refuse_backbone
from neon_edge.types import Features, JointState
from tests.bench import toy_task as toy

PERIODS_MS = (89, 185, 350, 744)
TICK_NS = 20_000_000
SECONDS = 8
FOLLOWS = 0.8
NEAR_SWAP = 3
PREFIX_ROWS = 8
PLAIN = "chunk, no blend"
STRATEGIES: dict[str, dict[str, Any]] = {
    PLAIN: {"strategy": "chunk", "blend_s": 0.0},
    "chunk": {"strategy": "chunk"},
    "ensemble, no blend": {"strategy": "ensemble", "blend_s": 0.0},
    "ensemble": {"strategy": "ensemble"},
    "fresh, no blend": {"strategy": "fresh", "blend_s": 0.0},
    "fresh": {"strategy": "fresh"},
    "fresh, row 15": {"strategy": "fresh", "ahead": 15},
    "fresh, row 0": {"strategy": "fresh", "ahead": 0},
    "fresh, noise kept": {"strategy": "fresh", "noise": "start"},
    "prefix": {"strategy": "prefix"},
    "rtc, no blend": {"strategy": "rtc", "blend_s": 0.0},
    "rtc at joints": {"strategy": "rtc"},
    "rtc at joints, kept": {"strategy": "rtc", "noise": "start"},
    "rtc at joints, true": {"strategy": "rtc", "jacobian": "true"},
    "rtc at picture": {"strategy": "rtc", "laid": "picture"},
    "rtc at picture, true": {"strategy": "rtc", "laid": "picture", "jacobian": "true"},
}


class Episode(NamedTuple):
    """Worst figures of one run."""

    velocity_swap: float
    jerk_swap: float
    velocity: float
    jerk: float
    hit: bool
    success: bool


def trained(directory: Path, rounds: int, prefix_rows: int = 0) -> HeadsManifest:
    """Plans in `directory`, trained unless they are there."""
    stated = directory / f"heads-{rounds}.json"
    if not stated.exists():
        _, made = toy.trained(directory, rounds, 0, prefix_rows)
        stated.write_bytes(msgspec.json.encode(made))
    return msgspec.json.decode(stated.read_bytes(), type=HeadsManifest)


class Bench:
    """Trained heads, ready to be played by any strategy."""

    def __init__(self, directory: Path, rounds: int) -> None:
        self._directory = directory
        self._manifest = trained(directory / "plain", rounds)
        self._prefixed = trained(directory / "prefixed", rounds, PREFIX_ROWS)
        actions = load_checkpoint(directory / "plain").actions
        self._middle = np.array(actions.middle, np.float32)
        self._half = np.array(actions.half_range, np.float32)

    def open(self, choice: dict[str, Any], seed: int) -> Heads:
        """The runtime's strategy on the runtime's engine."""
        chosen = HeadsChoice(**choice, seed=seed)
        prefixed = chosen.strategy == "prefix"
        heads: HeadsManifest = self._prefixed if prefixed else self._manifest
        directory = self._directory / ("prefixed" if prefixed else "plain")
        guided = chosen.strategy in STEPPED
        machine = this_machine("onnxruntime")
        engine = open_heads_engine(directory, heads, machine, guided=guided)
        kept = chosen.noise == "start"
        network = HeadNetwork(engine, heads, heads.joint_names, {}, seed, keep_noise=kept)
        robot = load_robot("sim")
        joints = [msgspec.structs.replace(robot.joints[0], name=name) for name in heads.joint_names]
        return open_strategy(msgspec.structs.replace(robot, joints=joints, heads=chosen), network)

    def play(self, name: str, period_ms: int, seed: int) -> Episode:
        """One episode. Raises `ConfigWrong` where the strategy refuses."""
        heads = self.open(STRATEGIES[name], seed)
        random = np.random.default_rng(seed)
        obstacle = random.uniform(*toy.OBSTACLES)
        views = toy.picture(np.full(SECONDS * 1000 // period_ms + 2, obstacle), random)
        position = self._middle.copy()
        position[0] += toy.START * self._half[0]
        sent, went, swaps = [], [], []
        features: Features | None = None
        for tick in range(SECONDS * 50):
            now_ns = (tick + 1) * TICK_NS
            arrived = now_ns // (period_ms * 1_000_000)
            if arrived and (features is None or arrived != features.sequence):
                taken_ns = (arrived - 1) * period_ms * 1_000_000
                features = Features(views[arrived], taken_ns, now_ns, arrived, tick)
                if not swaps:
                    refuse_backbone(heads, features, 1e9 / TICK_NS)
                swaps.append(tick)
            state = JointState(position, position * 0, position * 0, np.ones(len(position), int))
            setpoint = heads.setpoint(features, state, now_ns, tick)
            command = position if setpoint is None else setpoint.position
            sent.append(command[:2].copy())
            position = position + np.float32(FOLLOWS) * (command - position)
            went.append((position[:2] - self._middle[:2]) / self._half[:2])
        return judged(np.array(sent), np.array(went), swaps[1:], obstacle)


def judged(sent: Any, went: Any, swaps: list[int], obstacle: float) -> Episode:
    """Commands (ticks, 2) in rad, positions (ticks, 2) in half ranges."""
    velocity = np.abs(np.diff(sent, axis=0)).max(axis=1) * 50
    jerk = np.abs(np.diff(sent, n=3, axis=0)).max(axis=1) * 50**3
    near = np.zeros(len(sent), bool)
    for swap in swaps:
        near[swap : swap + NEAR_SWAP] = True
    hit = (np.abs(went[:, 0] - obstacle) < toy.WIDE) & (np.abs(went[:, 1]) < toy.HIGH)
    arrived = bool((np.abs(went - [toy.GOAL, 0]).max(axis=1) < 0.08).any())
    return Episode(
        float(velocity[near[1:]].max()), float(jerk[near[3:]].max()),
        float(velocity.max()), float(jerk.max()), bool(hit.any()), arrived and not hit.any(),
    )  # fmt: skip


def row(bench: Bench, name: str, period_ms: int, episodes: int) -> dict[str, Any]:
    """All episodes of one strategy at one period."""
    made: dict[str, Any] = {"period_ms": period_ms, "strategy": name}
    try:
        played = [bench.play(name, period_ms, seed) for seed in range(episodes)]
    except ConfigWrong as refused:
        return made | {"refused": refused.facts}
    for field in Episode._fields[:4]:
        values = [getattr(episode, field) for episode in played]
        made |= {field: max(values), f"{field}_median": float(np.median(values))}
    made["hit"] = float(np.mean([episode.hit for episode in played]))
    made["success"] = float(np.mean([episode.success for episode in played]))
    return made | {"success_95": wilson(sum(episode.success for episode in played), episodes)}


def wilson(good: int, count: int) -> tuple[float, float]:
    """Where the true share lies with 95 %, by Wilson's score."""
    z = 1.96
    share, more = good / count, z * z / count
    middle = (share + more / 2) / (1 + more)
    half = z / (1 + more) * math.sqrt(share * (1 - share) / count + more / count / 4)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def beats(rows: list[dict[str, Any]]) -> list[str]:
    """Where the strategies that must beat chunk replay do, and where they do not."""
    said = []
    for period in PERIODS_MS:
        here = {each["strategy"]: each for each in rows if each["period_ms"] == period}
        plain = here[PLAIN]
        for name, each in here.items():
            if name == PLAIN:
                continue
            if "refused" in each:
                said.append(f"{period} ms, {name}: refused, {each['refused']}")
                continue
            lost = [
                what
                for what in ("velocity_swap", "jerk_swap", "success")
                if (each[what] - plain[what]) * (-1 if what == "success" else 1) > 0
            ]
            verdict = f"worse in {', '.join(lost)}" if lost else "no worse in anything"
            said.append(f"{period} ms, {name}: {verdict}")
    return said


HEADER = (
    f"{'ms':>4}  {'strategy':<21}{'velocity at swaps':>17}{'jerk at swaps':>17}"
    f"{'velocity':>17}{'jerk':>17}{'success':>9}{'95 %':>11}{'hit':>6}"
)


def line(each: dict[str, Any]) -> str:
    """One row for people: worst of all episodes, and the median episode's worst."""
    start = f"{each['period_ms']:>4}  {each['strategy']:<21}"
    if "refused" in each:
        return f"{start}refused: {each['refused'].split(';')[0]}"
    shown = "".join(
        f"{each[field]:>9.{digits}f}{each[field + '_median']:>8.{digits}f}"
        for field, digits in (("velocity_swap", 2), ("jerk_swap", 0), ("velocity", 2), ("jerk", 0))
    )
    low, high = each["success_95"]
    between = f"{low:.0%} - {high:.0%}"
    return f"{start}{shown}{each['success']:>9.0%}{between:>11}{each['hit']:>6.0%}"


def main() -> None:
    """Train, play, print."""
    parser = argparse.ArgumentParser(description="Continuity of every strategy.")
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=1200, help="of training")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--kept", type=Path, help="where trained heads are, or are to be kept")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        began = time.perf_counter()
        bench = Bench(chosen.kept or Path(name), chosen.rounds)
        took = time.perf_counter() - began
        if not chosen.json:
            print(f"trained and compiled in {took:.0f} s; worst and median of the episodes' worst")
            print(HEADER)
        rows = []
        for period_ms in PERIODS_MS:
            for strategy in STRATEGIES:
                rows.append(row(bench, strategy, period_ms, chosen.episodes))
                if not chosen.json:
                    print(line(rows[-1]), flush=True)
    print(json.dumps(rows, indent=2) if chosen.json else "\n".join(beats(rows)))


if __name__ == "__main__":
    main()
