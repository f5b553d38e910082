"""The heads plan against upstream eager: one thread each, interleaved in one run.

    python tests/bench/bench_heads.py [--rounds N] [--json]

Both sides start from pooled features, joint state and an IMU reading in numpy and end with
denormalised actions in numpy. Upstream runs its own `NeonVLA.predict` under `inference_mode`, with
only `backbone.encode` replaced by the pooled features at hand. For scale, its network alone
(`forward` on tensors, still normalised) is timed too.

Ours is the compiled plan: copy all inputs in, run, chunk out. Two kinds of tick: `tick`, on fresh
joint state over the features of the tick before, which is nine ticks in ten with a backbone at
5 Hz; and `new features`, which also runs the part of the plan that depends on them alone. The bar
holds for `tick`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from neon.model.video_backbone import BackboneConfig

from neon_edge.build.heads import export_heads, sample_inputs
from neon_edge.checkpoint import load_checkpoint
from neon_edge.engine.contract import Engine
from neon_edge.engine.plan import compile_part, open_heads_engine, this_machine
from tests.checkpoint.upstream import save_upstream

WARM_UP = 30
TICK_MS = 20.0
MARGIN = 4

# Head type, width of the pooled features, least times faster than upstream.
CASES = (("mlp", 2048, 3.0), ("mlp", 128, 3.0), ("flow", 2048, 3.0), ("dit", 2048, 2.0),
         ("ensemble", 2048, 2.0))  # fmt: skip


def bench(head: str, pooled: int, bar: float, rounds: int) -> dict[str, Any]:
    """One head in whole_body: medians in µs, and how much faster the plan is."""
    settings: dict[str, Any] = {
        "control_mode": "whole_body",
        "use_separate_heads": False,
        "action_head_type": head,
    }
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        model = save_upstream(
            directory, backbone=BackboneConfig(hidden_size=pooled), use_imu=True, **settings
        )
        checkpoint = load_checkpoint(directory)
        heads = export_heads(checkpoint, directory, "0" * 16)
        machine = this_machine("onnxruntime")
        plans = [compile_part(directory, part, directory, "onnxruntime") for part in heads.parts]
        # Two engines: on one, each kind of tick would spoil the other's features.
        same, other = (
            open_heads_engine(directory, heads.with_parts(plans), machine) for _ in range(2)
        )
        observations = sample_inputs(checkpoint, 16, seed=0)
        features: dict[str, torch.Tensor] = {}
        model.backbone.encode = lambda **_: features
        held = observations[0]["pooled"]

        def tick(seen: dict[str, Any]) -> None:
            act(same, {**seen, "pooled": held})

        def new_features(seen: dict[str, Any]) -> None:
            act(other, seen)

        def predict(seen: dict[str, Any]) -> None:
            features["pooled"] = torch.from_numpy(seen["pooled"])
            model.predict(proprioception=seen["joints"][0], imu=seen["imu"][0])

        def forward(seen: dict[str, Any]) -> None:
            features["pooled"] = torch.from_numpy(seen["pooled"])
            model(
                proprioception=torch.from_numpy(seen["joints"]), imu=torch.from_numpy(seen["imu"])
            )

        medians = interleaved(
            {
                "tick": tick,
                "upstream predict": predict,
                "new features": new_features,
                "upstream forward": forward,
            },
            observations,
            rounds,
        )
        same.close()
        other.close()
    return {
        "head": head,
        "pooled": pooled,
        "parameters": sum(p.numel() for p in checkpoint.module.parameters()),
        "median_us": medians,
        "bar": bar,
        "times_faster": medians["upstream predict"] / medians["tick"],
        "times_faster_new_features": medians["upstream predict"] / medians["new features"],
    }


def act(engine: Engine, seen: dict[str, Any]) -> None:
    """One inference, as the control loop runs it."""
    for name, value in seen.items():
        np.copyto(engine.inputs[name], value.reshape(engine.inputs[name].shape))
    engine.start()
    engine.wait()


def interleaved(
    contenders: dict[str, Callable[[dict[str, Any]], None]],
    observations: list[dict[str, Any]],
    rounds: int,
) -> dict[str, float]:
    """Median µs of each, taken in turns so that a slow minute of the machine hits all alike."""
    taken: dict[str, list[int]] = {name: [] for name in contenders}
    with torch.inference_mode():
        for turn in range(rounds + WARM_UP):
            seen = observations[turn % len(observations)]
            for name, run in contenders.items():
                began = time.perf_counter_ns()
                run(seen)
                if turn >= WARM_UP:
                    taken[name].append(time.perf_counter_ns() - began)
    return {name: float(np.median(times)) / 1e3 for name, times in taken.items()}


def print_table(rows: list[dict[str, Any]]) -> None:
    """For people."""
    print(
        "head      pooled  parameters    tick  faster (bar)  new features  faster  predict  forward"
    )
    for row in rows:
        took = row["median_us"]
        print(
            f"{row['head']:<10}{row['pooled']:>6}{row['parameters']:>12,}{took['tick']:>8.0f}"
            f"{row['times_faster']:>7.1f}x ({row['bar']:g}x){took['new features']:>14.0f}"
            f"{row['times_faster_new_features']:>7.1f}x{took['upstream predict']:>9.0f}"
            f"{took['upstream forward']:>9.0f}"
        )
    limit = TICK_MS * 1e3 / MARGIN
    fit = [f"{row['head']} {row['pooled']}" for row in rows if row["median_us"]["tick"] <= limit]
    print(f"median µs, one thread; within a quarter of a {TICK_MS:g} ms tick: {', '.join(fit)}")


def main() -> None:
    """Measure, print, exit 1 if a plan is fewer times faster than its bar."""
    parser = argparse.ArgumentParser(description="Heads plan against upstream eager, one thread.")
    parser.add_argument("--heads", nargs="+", choices=sorted({case[0] for case in CASES}))
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    cases = [case for case in CASES if case[0] in (chosen.heads or [case[0]])]
    rows = [bench(*case, chosen.rounds) for case in cases]
    if chosen.json:
        print(json.dumps({"heads": rows}, indent=2))
    else:
        print_table(rows)
    sys.exit(0 if all(row["times_faster"] >= row["bar"] for row in rows) else 1)


if __name__ == "__main__":
    main()
