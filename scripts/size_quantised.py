#!/usr/bin/env python3
"""A recipe at its full size with random weights, quantised: time, peak memory and plan sizes.

    until scripts/size_quantised.py qwen_vl_3b --directory /tmp/sizes; [ $? -ne 75 ]; do :; done

Exports the backbone, then, part by part: calibrates on 16 moments of the clip that tests use,
quantises, compiles for SM86 under TensorRT-RTX in a process of its own, and holds the plan's size
against what the format promises. Stops with 75 behind the first layer that ends after `--minutes`;
the same command goes on there. Ends with 1 where a plan is more than a tenth larger than promised
or a step's peak is above 12 GiB. Figures go to DIRECTORY/RECIPE-BITS.json, the table to stdout; CPU
is what a part took of all cores together, which other work beside it changes little.

No gate is measured: random weights have no joint error worth the name.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import msgspec
import onnx
import torch
from size_table import Measured, compile_apart, peak_bytes, reset_peak

from neon_edge.build.calibrate.clip import from_clip
from neon_edge.build.calibrate.take import CLIP, HEARD, INSTRUCTION
from neon_edge.build.export import export_backbone
from neon_edge.build.ledger import Ledger
from neon_edge.build.onnx_file import save
from neon_edge.build.quantise.bundle import Work, quantise_part
from neon_edge.build.quantise.feeds import host_feeds, part_feeds
from neon_edge.build.quantise.layers import Quantised
from neon_edge.build.quantise.linears import find_linears
from neon_edge.build.quantise.lint import lint
from neon_edge.build.quantise.place import place
from neon_edge.build.recipe import Recipe, load_recipe
from neon_edge.clock import MonotonicClock
from neon_edge.engine.files import weights_of
from neon_edge.engine.manifest import BackboneManifest, Part

GO_ON = 75
MOMENTS = 16
LARGEST, HIGHEST_GIB = 1.10, 12.0
"""Of a plan, in parts of what its format promises; and of any step's memory."""


def main() -> int:
    """Do what is not done yet, until the time is up; then the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipe")
    parser.add_argument("--bits", choices=("int8", "int4"), default="int4")
    parser.add_argument("--precision", choices=("fp32", "fp16"), default="fp16")
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    recipe = load_recipe(options.recipe)
    recipe = Recipe(
        msgspec.structs.replace(recipe.text, precision=options.precision), recipe.directory
    )
    figures = options.directory / f"{recipe.name}-{options.bits}.json"
    rows: dict[str, Any] = json.loads(figures.read_text()) if figures.exists() else {}
    spell = Spell(options.minutes)
    manifest, work = exported(recipe, options)
    feeds = host_feeds(work.bundle, manifest, work.moments)
    for part, fed in part_feeds(work.bundle, manifest, feeds, options.threads):
        row = rows.setdefault(part.name, {"steps": []})
        if "plan" in row:
            continue
        try:
            one_part(work, part, fed, options, spell, row)
        except TimeUp:
            return GO_ON
        finally:
            figures.write_text(json.dumps(rows, indent=1))
    print(table(rows))
    for line in (wrong := missed(rows)):
        print(f"MISSED: {line}", file=sys.stderr)
    return int(bool(wrong))


class TimeUp(Exception):
    """The rest is for the next run."""


class Spell:
    """How long this run may go on."""

    def __init__(self, minutes: float) -> None:
        self._clock = MonotonicClock()
        self._end_ns = self._clock.now_ns() + round(minutes * 60e9)

    def tell(self, step: str) -> None:
        """Say what comes next, unless there is no time for it."""
        if self._clock.now_ns() > self._end_ns:
            raise TimeUp
        print(step, file=sys.stderr)


def exported(recipe: Recipe, options: argparse.Namespace) -> tuple[BackboneManifest, Work]:
    """The float graphs, made once, and what to quantise them on."""
    bundle = options.directory / recipe.name / recipe.text.precision
    stated = bundle / "backbone.json"
    if not stated.exists():
        steps = Ledger(bundle, recipe.text.precision, 0, lambda step: print(step, file=sys.stderr))
        manifest = export_backbone(recipe, "random:0", bundle, steps)
        stated.write_bytes(msgspec.json.encode(manifest))
    manifest = msgspec.json.decode(stated.read_bytes(), type=BackboneManifest)
    audio, seed = manifest.audio, recipe.text.quantise.seed
    clip = CLIP if audio is None else HEARD
    moments = from_clip(clip, [INSTRUCTION], MOMENTS, recipe.window, seed, audio)
    kept = options.directory / recipe.name / "kept"
    settings = recipe.text.quantise
    return manifest, Work(bundle, moments, settings, options.threads, kept, "onnxruntime")


def one_part(
    work: Work, part: Part, fed: Any, options: argparse.Namespace, spell: Spell, row: dict[str, Any]
) -> None:
    """Quantise, compile and forget one part; its figures go to `row`, of half of it too."""
    measured = Measured()
    clock, begun, used = MonotonicClock(), MonotonicClock().now_ns(), cpu_seconds()
    reset_peak()
    try:
        done = quantise_part(work, part, fed, options.bits, spell.tell)
    finally:
        used = cpu_seconds() - used
        measured.note(f"quantise {part.name}", clock.now_ns() - begun, peak_bytes(), cpu=used)
        row["steps"] += measured.steps
    target = options.directory / "placed"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    model = onnx.load(str(work.bundle / part.onnx))
    promise = promised(model, done)
    place(model, done.layers)
    lint(model)
    save(model, target / part.onnx)
    graph = sum(f.stat().st_size for f in target.iterdir())
    del model
    compiled = Measured()
    plan = compile_apart(target, part, compiled)
    shutil.rmtree(target)
    shutil.rmtree(work.kept)
    row["steps"] += compiled.steps
    row |= {
        "linears": len(done.reports),
        "weights": sum(report.weights for report in done.reports),
        "int8": sum(report.weights for report in done.reports if report.bits == 8),
        "worst": max(report.error for report in done.reports),
        "float": sum(size_of(work.bundle / part.onnx)),
        "graph": graph,
        "promised": promise,
        "plan": plan,
    }


def cpu_seconds() -> float:
    """Of this process, all threads, and of none of its children."""
    spent = os.times()
    return spent.user + spent.system


def promised(model: onnx.ModelProto, done: Quantised) -> int:
    """Bytes by arithmetic: 4 or 8 bits a weight, a half a scale, and all else as it was."""
    sizes = {
        tensor.name: onnx.numpy_helper.to_array(tensor).nbytes for tensor in model.graph.initializer
    }
    total = sum(sizes.values())
    layers = done.layers
    for linear in find_linears(model):
        layer = layers[linear.name]
        width = sizes[linear.weight] // linear.weights
        total += linear.weights * layer.bits // 8 + layer.scales.size * width - sizes[linear.weight]
    return int(total)


def size_of(graph: Path) -> list[int]:
    """Of a graph file and the weights beside it."""
    return [path.stat().st_size for path in (graph, weights_of(graph)) if path.exists()]


def table(rows: dict[str, Any]) -> str:
    """Markdown, a line a part and one for all."""
    lines = [
        "| part | Linears | weights | of them INT8 | quantise | CPU | its peak | compile "
        "| its peak | float graph | promised | plan | plan / promised | load |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in [*rows.items(), ("all", whole(list(rows.values())))]:
        quantise, compiled = (
            [step for step in row["steps"] if step["name"].startswith(kind)]
            for kind in ("quantise", "compile")
        )
        used = sum(step["cpu"] for step in quantise)
        time, peak = spent(quantise)
        lines.append(
            f"| `{name}` | {row['linears']} | {row['weights'] / 1e9:.3f} B "
            f"| {row['int8'] / row['weights']:.0%} | {time} | {used:.0f} s | {peak} "
            f"| {' | '.join(spent(compiled))} "
            f"| {row['float'] / 1e9:.2f} GB | {row['promised'] / 1e9:.3f} GB "
            f"| {row['plan'] / 1e9:.3f} GB | {row['plan'] / row['promised']:.3f} "
            f"| {max(step['load'] for step in row['steps']):.0f} |"
        )
    return "\n".join(lines)


def missed(rows: dict[str, Any]) -> list[str]:
    """Parts that are larger than promised, and steps that took too much memory."""
    large = [
        f"the plan of {name} is {ratio:.3f} of what is promised, at most {LARGEST:.2f}"
        for name, row in rows.items()
        if not (ratio := row["plan"] / row["promised"]) <= LARGEST
    ]
    hungry = [
        f"{step['name']} took {step['gib']:.1f} GiB, at most {HIGHEST_GIB:g}"
        for row in rows.values()
        for step in row["steps"]
        if not step["gib"] <= HIGHEST_GIB
    ]
    return large + hungry


def whole(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Sums, and every step."""
    total: dict[str, Any] = {
        key: sum(row[key] for row in rows)
        for key in ("linears", "weights", "int8", "float", "promised", "plan")
    }
    total["steps"] = [step for row in rows for step in row["steps"]]
    return total


def spent(steps: list[dict[str, Any]]) -> tuple[str, str]:
    """Seconds in all, and the highest peak."""
    return f"{sum(s['s'] for s in steps):.0f} s", f"{max(s['gib'] for s in steps):.1f} GiB"


if __name__ == "__main__":
    raise SystemExit(main())
