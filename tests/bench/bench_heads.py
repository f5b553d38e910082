"""The heads plan against upstream eager: one thread each, interleaved in one run.

    python tests/bench/bench_heads.py [--rounds N] [--json]

Both sides start from pooled features, joint state and an IMU reading in numpy and end with
denormalised actions in numpy. Upstream runs its own `NeonVLA.predict` under `inference_mode`, with
only `backbone.encode` replaced by the pooled features at hand. For scale, its network alone
(`forward` on tensors, still normalised) is timed too.

Ours is the compiled plan as the strategy `fresh` runs it: copy in what is new, run, and out comes
the row of the chunk that it looks at, or the chunk where rows cannot be made alone. Two kinds of
tick: `tick`, on fresh joint state and IMU over the features of the tick before, which is nine ticks
in ten with a backbone at 5 Hz; and `new features`, which also runs the part of the plan that
depends on them alone. The bar holds for `tick`. `whole chunk` is a tick of the strategies that look
at every row. `bare` is the tick's matrix products alone, by torch on tensors that are already there
(one row of each, where one row is made), and `copy` moves its weights once through memory. A flow
is also run as `rtc`, guided anew at every tick.

Runs itself again with huge pages, as the runtime starts its processes, for both sides alike.
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
from neon_edge.engine.euler import EulerEngine
from neon_edge.engine.manifest import HeadsManifest
from neon_edge.engine.plan import compile_part, open_heads_engine, this_machine
from neon_edge.heads.rtc import Guidance, soft_mask
from tests.bench.bare_products import bare_products, copy_of
from tests.bench.started import as_on_a_robot
from tests.checkpoint.upstream import save_upstream

WARM_UP = 30
TICK_MS = 20.0
MARGIN = 4

# Head type, width of the pooled features, least times faster than upstream.
CASES = (("mlp", 2048, 5.0), ("mlp", 128, 5.0), ("flow", 2048, 3.0), ("dit", 2048, 2.0),
         ("ensemble", 2048, 2.0))  # fmt: skip
BETA, DELAY, EXECUTED = 5.0, 1, 4


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
        heads = heads.with_parts(plans)
        graphs = [directory / (heads.row_part or heads.part).onnx]
        if heads.step_part is not None:
            graphs += [directory / heads.step_part.onnx] * denoise_steps(heads)
        bare = bare_products(graphs)
        copy = copy_of(bare.weight_bytes)
        # Engines of their own: on one, each kind of tick would spoil the other's features.
        same, other = (open_heads_engine(directory, heads, machine, one_row=True) for _ in "12")
        whole = open_heads_engine(directory, heads, machine)
        observations = sample_inputs(checkpoint, 16, seed=0)
        features: dict[str, torch.Tensor] = {}
        model.backbone.encode = lambda **_: features
        held = observations[0]["pooled"]

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

        # No two plans stand side by side: the second would find the library's code in the caches.
        medians = interleaved(
            {
                "tick": over(same, held),
                "upstream predict": predict,
                "new features": new_features,
                "upstream forward": forward,
                **({"whole chunk": over(whole, held)} if heads.row_part else {}),
                "bare": lambda _: bare.run(),
                "copy": lambda _: copy(),
                **guided_ticks(directory, heads, held),
            },
            observations,
            rounds,
        )
        for engine in (same, other, whole):
            engine.close()
    return {
        "head": head,
        "pooled": pooled,
        "parameters": sum(p.numel() for p in checkpoint.module.parameters()),
        "tick_weight_bytes": bare.weight_bytes,
        "median_us": medians,
        "bar": bar,
        "times_faster": medians["upstream predict"] / medians["tick"],
        "times_faster_new_features": medians["upstream predict"] / medians["new features"],
    }


Contender = Callable[[dict[str, Any]], None]


def over(engine: Engine, held: Any) -> Contender:
    """Ticks over the features `held`, which are copied in once, as the loop does."""
    np.copyto(engine.inputs["pooled"], held)
    fresh = [name for name in engine.inputs if name not in ("pooled", "row", "noise")]
    return lambda seen: act(engine, {name: seen[name] for name in fresh})


def denoise_steps(heads: HeadsManifest) -> int:
    """How often a diffusion head's step runs in a tick: once for each row of its modulation."""
    [rows] = [spec.shape[0] for spec in heads.part.outputs if spec.name == "modulation"]
    return rows


def guided_ticks(directory: Path, heads: HeadsManifest, pooled: Any) -> dict[str, Contender]:
    """A flow's ticks in which a new chunk is guided by an old one, in both modes; else none."""
    if not heads.guided_parts:
        return {}
    engine = open_heads_engine(directory, heads, this_machine("onnxruntime"), guided=True)
    assert isinstance(engine, EulerEngine)
    old = np.random.default_rng(0).normal(size=engine.outputs["latent"].shape[1:])
    base = np.zeros_like(old, dtype=np.float32)
    mask = soft_mask(len(old), DELAY, EXECUTED, "exp")

    def guided(exact: bool) -> Contender:
        def tick(seen: dict[str, Any]) -> None:
            engine.guide = Guidance(old.astype(np.float32), base, mask, BETA, exact)
            act(engine, {**seen, "pooled": pooled})

        return tick

    return {"rtc free": guided(False), "rtc true": guided(True)}


def act(engine: Engine, seen: dict[str, Any]) -> None:
    """One inference, as the control loop runs it."""
    for name, value in seen.items():
        np.copyto(engine.inputs[name], value.reshape(engine.inputs[name].shape))
    engine.start()
    engine.wait()


def interleaved(
    contenders: dict[str, Contender],
    observations: list[dict[str, Any]],
    rounds: int,
) -> dict[str, float]:
    """Median µs of CPU time of each, in turns so that a slow minute of the machine hits all alike.

    On an idle machine that is the time it takes; on a shared one a long run is interrupted more
    often than a short one, which says nothing of either.
    """
    taken: dict[str, list[int]] = {name: [] for name in contenders}
    with torch.inference_mode():
        for turn in range(rounds + WARM_UP):
            seen = observations[turn % len(observations)]
            for name, run in contenders.items():
                began = time.thread_time_ns()
                run(seen)
                if turn >= WARM_UP:
                    taken[name].append(time.thread_time_ns() - began)
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
    print("head      pooled  weights MB  tick GB/s  bare GB/s  copy GB/s  tick / bare  bare faster")
    for row in rows:
        took, size = row["median_us"], row["tick_weight_bytes"]
        rates = [size * n / took[k] / 1e3 for k, n in (("tick", 1), ("bare", 1), ("copy", 2))]
        print(
            f"{row['head']:<10}{row['pooled']:>6}{size / 1e6:>12.1f}"
            + "".join(f"{rate:>11.1f}" for rate in rates)
            + f"{took['tick'] / took['bare']:>13.2f}"
            + f"{took['upstream predict'] / took['bare']:>12.1f}x"
        )
    for row in rows:
        if (whole := row["median_us"].get("whole chunk")) is not None:
            times = row["median_us"]["upstream predict"] / whole
            print(
                f"{row['head']} {row['pooled']}, whole chunk: {whole:.0f} µs, {times:.1f}x faster"
            )
    limit = TICK_MS * 1e3 / MARGIN
    ticks = [
        (f"{row['head']} {row['pooled']}{'' if kind == 'tick' else ', ' + kind}", took)
        for row in rows
        for kind, took in row["median_us"].items()
        if kind in ("tick", "whole chunk") or kind.startswith("rtc")
    ]
    fit = [f"{name} ({took:.0f})" for name, took in ticks if took <= limit]
    unfit = [f"{name} ({took:.0f})" for name, took in ticks if took > limit]
    print(f"median µs of CPU time, one thread; in a quarter of {TICK_MS:g} ms: {', '.join(fit)}")
    print(f"not within it: {', '.join(unfit) or 'none'}")


def main() -> None:
    """Measure, print, exit 1 if a plan is fewer times faster than its bar."""
    parser = argparse.ArgumentParser(description="Heads plan against upstream eager, one thread.")
    parser.add_argument("--heads", nargs="+", choices=sorted({case[0] for case in CASES}))
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    as_on_a_robot()
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
