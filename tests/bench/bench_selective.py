"""What selective decoding saves an embedding head, and what it costs in radians.

    python tests/bench/bench_selective.py [--seconds N] [--json]

A `jepa` head for all joints, trained in the run on the task of `reach_task.py`, through export and
plans: a robot whose joints follow the setpoint with a lag, and pictures that arrive at 5 Hz, each a
little blurred, whose scene changes every two seconds. For every threshold the same seconds are
played twice: `apart`, each tick beside a head that always decodes, on the same features and joints,
so that the difference is the decoder's alone; and timed, alone, its ticks taken in turns with those
of the head that always decodes, at the thread's CPU time. Away is the mean distance to the goal at
the end of each scene, of a robot driven by the head itself.

The bar: at threshold 0 not a bit differs, and at every other decoding saves CPU time.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from neon_edge.checkpoint import Checkpoint
from neon_edge.engine.manifest import HeadsManifest
from neon_edge.engine.plan import open_heads_engine, this_machine
from neon_edge.engine.selective import SelectiveEngine
from tests.bench.reach_task import Reach, compiled, trained
from tests.checkpoint.own_heads import jepa_config

THRESHOLDS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)
RATE_HZ = 50
PICTURE = 10
"""Ticks between pictures."""
SCENE = 100
"""Ticks between scenes."""
LAG = 0.3
"""Of the way to the setpoint, each tick."""
WARM_UP = 200
SEED = 5


class Play:
    """Features of a whole play, drawn once, and the joints of a robot that a head drives."""

    def __init__(self, checkpoint: Checkpoint, ticks: int, seed: int) -> None:
        task, random = Reach(checkpoint.config, SEED), np.random.default_rng(seed)
        scenes = random.standard_normal((-(-ticks // SCENE), 4))
        shown = np.repeat(scenes, SCENE // PICTURE, axis=0)
        self.pooled = np.repeat(task.pooled(shown, random), PICTURE, axis=0)[:ticks]
        self.half_range = checkpoint.module.half_range.numpy()
        self.middle = checkpoint.module.middle.numpy()
        self.goals = task.goal(scenes) * self.half_range + self.middle
        self.start = random.uniform(-0.5, 0.5, len(self.middle)) * self.half_range + self.middle

    def __len__(self) -> int:
        return len(self.pooled)

    def feed(self, engine: SelectiveEngine, tick: int, joints: Any, always: bool = False) -> None:
        """What a tick hands the heads; `always` makes them forget what they decoded."""
        engine.inputs["pooled"][0] = self.pooled[tick]
        engine.inputs["joints"][0] = joints
        if always:
            engine._valid = False


class Bench:
    """One trained head, opened as often as wanted."""

    def __init__(self, directory: Path, rounds: int, hidden: int) -> None:
        config = jepa_config(embedding=64, hidden=hidden, control_mode="whole_body")
        self.checkpoint = trained(directory, config, rounds, SEED)
        self.heads: HeadsManifest = compiled(self.checkpoint)
        self._directory = directory

    def opened(self, moved: float) -> SelectiveEngine:
        """The heads at one threshold."""
        machine = this_machine("onnxruntime")
        engine = open_heads_engine(self._directory, self.heads, machine, moved=moved)
        assert isinstance(engine, SelectiveEngine)
        return engine

    def apart(self, play: Play, moved: float) -> dict[str, Any]:
        """Row 0 of the chunk beside that of always decoding, tick by tick; decodes; the way."""
        engine, always = self.opened(moved), self.opened(0.0)
        joints, away = play.start.astype(np.float32), []
        off = np.zeros((len(play), len(joints)))
        equal = True
        for tick in range(len(play)):
            for one in (engine, always):
                play.feed(one, tick, joints, always=one is always)
                one.start()
                one.wait()
            found, due = engine.outputs["chunk"][0, 0], always.outputs["chunk"][0, 0]
            off[tick] = np.abs(found - due)
            equal &= np.array_equal(engine.outputs["chunk"], always.outputs["chunk"])
            joints = (joints + LAG * (found - joints)).astype(np.float32)
            if tick % SCENE == SCENE - 1:
                away.append(np.abs(joints - play.goals[tick // SCENE])[: self.joints].mean())
        off = off[:, : self.joints]
        return {
            "decodes": engine.decodes / engine.runs,
            "mean_rad": float(off.mean()),
            "p99_rad": float(np.quantile(off, 0.99)),
            "max_rad": float(off.max()),
            "away_rad": float(np.mean(away)),
            "equal": equal,
        }

    @property
    def joints(self) -> int:
        """Columns that are joints."""
        return len(self.heads.joint_names)

    def timed(self, play: Play, moved: list[float]) -> list[list[float]]:
        """CPU µs of every tick: always decoding, then by threshold, in turns within each tick."""
        engines = [self.opened(one) for one in (0.0, *moved)]
        spent: list[list[float]] = [[] for _ in engines]
        joints = [play.start.astype(np.float32) for _ in engines]
        for tick in range(len(play)):
            order = np.roll(np.arange(len(engines)), tick)
            for at in order:
                engine = engines[at]
                play.feed(engine, tick, joints[at], always=at == 0)
                began = time.thread_time_ns()
                engine.start()
                engine.wait()
                spent[at].append((time.thread_time_ns() - began) / 1000)
                found = engine.outputs["chunk"][0, 0]
                joints[at] = (joints[at] + LAG * (found - joints[at])).astype(np.float32)
        return [one[WARM_UP:] for one in spent]


def measured(bench: Bench, seconds: float, seed: int) -> list[dict[str, Any]]:
    """A row a threshold."""
    play = Play(bench.checkpoint, round(seconds * RATE_HZ), seed)
    spent = bench.timed(play, list(THRESHOLDS))
    always = float(np.mean(spent[0]))
    rows = []
    for moved, each in zip(THRESHOLDS, spent[1:], strict=True):
        cpu = float(np.mean(each))
        row = {"moved": moved, **bench.apart(play, moved)}
        rows.append(row | {"cpu_us": cpu, "always_us": always, "saved": 1 - cpu / always})
    return rows


def main() -> int:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30, help="of the play, at 50 Hz")
    parser.add_argument("--rounds", type=int, default=150, help="of training")
    parser.add_argument("--hidden", type=int, default=512, help="width of predictor and decoder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), chosen.rounds, chosen.hidden)
        rows = measured(bench, chosen.seconds, chosen.seed)
    exact = rows[0]["equal"]
    saves = all(row["saved"] > 0 for row in rows[1:])
    if chosen.json:
        print(json.dumps({"rows": rows, "exact": exact, "saves": saves}))
        return int(not (exact and saves))
    print(
        f"{platform.processor() or platform.machine()}, {len(THRESHOLDS)} thresholds, "
        f"{chosen.seconds:g} s each, always decoding {rows[0]['always_us']:.0f} µs a tick"
    )
    print("moved  decoded  CPU µs  saved    mean rad    p99 rad    max rad   away rad")
    for row in rows:
        print(
            f"{row['moved']:5.2f}  {row['decodes']:7.1%}  {row['cpu_us']:6.0f}  "
            f"{row['saved']:5.0%}  {row['mean_rad']:10.2e} {row['p99_rad']:10.2e} "
            f"{row['max_rad']:10.2e} {row['away_rad']:10.4f}"
        )
    print(f"threshold 0 is {'bit for bit' if exact else 'NOT'} always decoding")
    return int(not (exact and saves))


if __name__ == "__main__":
    sys.exit(main())
