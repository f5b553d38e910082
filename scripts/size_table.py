#!/usr/bin/env python3
"""Every recipe at its full size with random weights: what building it takes, as a table.

    scripts/size_table.py qwen_omni_3b qwen_vl_3b --directory /tmp/sizes

Makes the bundle as `neon-edge build --bundle-only` does (tokenizer, embedding table, every part,
heads, verification samples), compiles each graph under TensorRT-RTX for SM86 in a process of its
own, and runs the graphs on the CPU and transformers' own model, streamed, on one picture: how far
the features are apart at full depth. Every step's wall time, CPU time and peak memory (the kernel's
high-water mark, reset ahead of each) go to DIRECTORY/RECIPE.json, and so does the time that drawing
`random:0` takes, which is no part of reading weights; the table of all there goes to stdout.
`--details` adds a row a step, `--verify` compiles for ONNX Runtime too and verifies those plans.
Graphs and plans are deleted once they are measured. A recipe whose JSON is there is not measured
again, so an interrupted run goes on behind its last recipe.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from measured_steps import Measured, count_drawing, cpu_seconds, peak_bytes, reset_peak

from neon_edge.backbones.contract import Joined
from neon_edge.build.bundle import make_bundle
from neon_edge.build.calibrate.moments import CalibrationSet
from neon_edge.build.calibrate.take import take_demo
from neon_edge.build.compile import compile_bundle
from neon_edge.build.quantise.feeds import host_feeds, part_feeds
from neon_edge.build.recipe import Recipe, load_recipe
from neon_edge.build.reference import ReferenceBackbone
from neon_edge.clock import MonotonicClock
from neon_edge.engine.files import weights_of
from neon_edge.engine.manifest import BackboneManifest, Part
from neon_edge.errors import GateMissed
from neon_edge.types import CameraFrame, Float32

__all__ = ["Measured", "compile_apart", "peak_bytes", "reset_peak"]

WORDS = "Pick up the red cup."
# Loads what the build's own compilers load, and no torch; ends on its high-water mark in kB.
COMPILE = """
import sys
from pathlib import Path
from neon_edge.engine.rtx import compile_rtx
compile_rtx(Path(sys.argv[1]), Path(sys.argv[2]))
status = Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in status.splitlines() if "VmHWM" in line))
"""


def main() -> int:
    """Measure the named recipes, then print what there is."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipes", nargs="*")
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()) / "sizes")
    parser.add_argument("--precision", choices=("fp32", "fp16", "bf16"), help="not the recipe's")
    parser.add_argument("--without-reference", action="store_true")
    parser.add_argument("--details", action="store_true", help="a row a step, too")
    parser.add_argument("--verify", action="store_true", help="on ONNX Runtime's plans")
    options = parser.parse_args()
    options.directory.mkdir(parents=True, exist_ok=True)
    count_drawing()
    for name in options.recipes:
        if not (options.directory / f"{load_recipe(name).name}.json").exists():
            measure(name, options)
    found = [json.loads(path.read_text()) for path in sorted(options.directory.glob("*.json"))]
    print(table(found))
    if options.details:
        print(details(found))
    return 0


def heads_for(recipe: Recipe, directory: Path) -> Path:
    """A checkpoint of the recipe's width."""
    command = [sys.executable, str(Path(__file__).with_name("make_checkpoint.py")), str(directory)]
    command += ["--pooled", str(recipe.adaptor.width), "--backbone-id", recipe.text.model_id]
    upstream = isinstance(recipe.adaptor, Joined) and recipe.adaptor.streams.fusion == "tokens"
    subprocess.run(command + ["--tribe"] * upstream, check=True, stdout=subprocess.DEVNULL)
    return directory


def measure(name: str, options: argparse.Namespace) -> None:
    """Export, compile and run one recipe; write its JSON."""
    recipe = load_recipe(name)
    if options.precision:
        text = msgspec.structs.replace(recipe.text, precision=options.precision)
        recipe = Recipe(text, recipe.directory)
    measured = Measured()
    place = options.directory / recipe.name
    shutil.rmtree(place, ignore_errors=True)
    work = place / "bundle"
    held_out = take_demo("", recipe, quantised=False).held_out
    heads = heads_for(recipe, place / "heads")
    made = make_bundle(recipe, heads, "random:0", work, held_out, measured)
    measured.end()
    manifest = made.backbone
    bundle = sum(path.stat().st_size for path in work.iterdir())
    # Sound and streams have no moment of noise here.
    plain = manifest.streams is None and manifest.audio is None
    compared = plain and not options.without_reference
    apart = error(recipe, work, manifest, measured) if compared else None
    if options.verify:
        verify(work, place, measured)
    parts = (*manifest.parts, *made.heads.parts)
    plans = sum(compile_apart(work, part, measured) for part in parts)
    shutil.rmtree(place)
    facts = {
        "recipe": recipe.name,
        "precision": recipe.text.precision,
        "parameters": sum(math.prod(shape) for shape in recipe.adaptor.tensors().values()),
        "tokens": manifest.tokens,
        "bundle": bundle,
        "plans": plans,
        "error": apart,
        "steps": measured.steps,
    }
    (options.directory / f"{recipe.name}.json").write_text(json.dumps(facts, indent=1))


def verify(work: Path, place: Path, measured: Measured) -> None:
    """Plans for this CPU, whose verification is measured, whatever it says of random weights."""
    told = Measured()
    try:
        compile_bundle(work, place / "ort", "onnxruntime", os.cpu_count() or 1, told)
    except GateMissed as missed:
        print(missed, file=sys.stderr)
    told.end()
    measured.steps += [step for step in told.steps if step["name"] == "verify"]
    shutil.rmtree(place / "ort")


def compile_apart(work: Path, part: Part, measured: Measured) -> int:
    """Bytes of the plan of one part, compiled in a process of its own; the files go."""
    plan = work / f"{part.name}.plan"
    command = [sys.executable, "-c", COMPILE, str(work / part.onnx), str(plan)]
    begun, cpu = MonotonicClock().now_ns(), cpu_seconds()
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    took = MonotonicClock().now_ns() - begun
    size = plan.stat().st_size
    peak, cpu = int(ran.stdout.split()[-1]) << 10, cpu_seconds() - cpu
    measured.note(f"compile {part.name}", took, peak, cpu=cpu, plan=size)
    for path in (plan, work / part.onnx, weights_of(work / part.onnx)):
        path.unlink(missing_ok=True)
    return size


def error(
    recipe: Recipe, work: Path, backbone: BackboneManifest, measured: Measured
) -> dict[str, float]:
    """Of the graphs' features against transformers' own model's, on one picture of noise."""
    image = recipe.adaptor.image
    draw = np.random.default_rng(0)
    size = (image.count, 1, image.height, image.width, 3)
    cameras = tuple(draw.integers(0, 256, size, np.uint8))
    moment = CalibrationSet(cameras, [WORDS], ["noise"], np.zeros((1, 0), np.float32))

    def by_graphs() -> Float32:
        feeds = host_feeds(work, backbone, moment)
        for part, _ in part_feeds(work, backbone, feeds, os.cpu_count() or 1):
            print(f"{part.name} on the CPU", file=sys.stderr)
        return feeds[0]["pooled"].reshape(-1)

    def by_transformers() -> Float32:
        pictures = [CameraFrame(picture, 1, "noise") for picture in moment.frames[0]]
        return ReferenceBackbone(recipe, "random:0").pooled(pictures, WORDS)

    ours = measured.step("graphs, one pass", np.ndarray, by_graphs, lambda _: [])
    theirs = measured.step("reference, one pass", np.ndarray, by_transformers, lambda _: [])
    wide = (ours.astype(np.float64), theirs.astype(np.float64))
    cosine = wide[0] @ wide[1] / np.linalg.norm(wide[0]) / np.linalg.norm(wide[1])
    largest = np.abs(ours - theirs).max() / np.abs(theirs).max()
    return {"cosine lost": 1 - float(cosine), "relative": float(largest)}


def table(found: list[dict[str, Any]]) -> str:
    """Markdown; times are sums over a recipe's parts, peaks the highest of them.

    Weights to plans is all of exporting and compiling; what drawing numbers took is in neither.
    """
    lines = [
        "| recipe | precision | parameters | tokens | bundle | drawn | export | its peak | compile "
        "| its peak | weights to plans | plans | samples | their peak | verify | its peak "
        "| 1 - cosine | largest error | load |",
        "|---" * 19 + "|",
    ]
    for facts in sorted(found, key=lambda f: str(f["recipe"])):
        steps = facts["steps"]
        made = [step for kind in ("tokenizer", "embedding", "export") for step in _of(steps, kind)]
        compiled = _of(steps, "compile")
        others = [_spent(_of(steps, kind)) for kind in ("verification samples", "verify")]
        lines.append(
            f"| `{facts['recipe']}` | {facts['precision']} | {facts['parameters'] / 1e9:.2f} B "
            f"| {facts['tokens']} | {facts['bundle'] / 1e9:.1f} GB "
            f"| {sum(step.get('drawn', 0) for step in made):.0f} s | {_spent(made)} "
            f"| {_spent(compiled)} | {_seconds([*made, *compiled])} "
            f"| {facts['plans'] / 1e9:.1f} GB | {' | '.join(others)} | {_apart(facts)} "
            f"| {max(step['load'] for step in steps):.0f} |"
        )
    return "\n".join(lines)


def details(found: list[dict[str, Any]]) -> str:
    """Markdown, a row a step. CPU is of all threads, and of a compiler's process."""
    lines = [
        "| recipe | step | time | of it drawing | CPU | peak | plan | load |",
        "|---" * 8 + "|",
    ]
    for facts in sorted(found, key=lambda f: str(f["recipe"])):
        for step in facts["steps"]:
            plan = f"{step['plan'] / 1e9:.2f} GB" if "plan" in step else ""
            lines.append(
                f"| `{facts['recipe']}` | {step['name']} | {step['s']:.1f} s "
                f"| {step.get('drawn', 0):.1f} s | {step.get('cpu', 0):.1f} s "
                f"| {step['gib']:.2f} GiB | {plan} | {step['load']:.0f} |"
            )
    return "\n".join(lines)


def _spent(steps: list[dict[str, Any]]) -> str:
    return f"{_seconds(steps)} | {_peak(steps)}"


def _apart(facts: dict[str, Any]) -> str:
    error = facts.get("error")
    return f"{error['cosine lost']:.1e} | {error['relative']:.1e}" if error else "not run | "


def _of(steps: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [step for step in steps if step["name"].startswith(kind)]


def _seconds(steps: list[dict[str, Any]]) -> str:
    """Without what drawing numbers took."""
    return (
        f"{sum(step['s'] - step.get('drawn', 0) for step in steps):.0f} s" if steps else "not run"
    )


def _peak(steps: list[dict[str, Any]]) -> str:
    return f"{max((step['gib'] for step in steps), default=0):.1f} GiB" if steps else "not run"


if __name__ == "__main__":
    raise SystemExit(main())
