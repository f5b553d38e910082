#!/usr/bin/env python3
"""Every recipe at its full size with random weights: what building it takes, as a table.

    scripts/size_table.py qwen_omni_3b qwen_vl_3b --directory /tmp/sizes

Exports the backbone part by part, compiles each part under TensorRT-RTX for SM86 in a process of
its own, and runs the graphs on the CPU and transformers' own model, streamed, on one picture: how
far the features are apart at full depth. Every step's wall time and
peak memory (the kernel's high-water mark, reset ahead of each) go to DIRECTORY/RECIPE.json; the
table of all there goes to stdout. Graphs and plans are deleted once they are measured. A recipe
whose JSON is there is not measured again, so an interrupted run goes on behind its last recipe.
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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from neon_edge.build.calibrate.moments import CalibrationSet
from neon_edge.build.export import export_backbone
from neon_edge.build.quantise.feeds import host_feeds, part_feeds
from neon_edge.build.recipe import Recipe, load_recipe
from neon_edge.build.reference import ReferenceBackbone
from neon_edge.clock import MonotonicClock
from neon_edge.engine.files import weights_of
from neon_edge.engine.manifest import BackboneManifest, Part
from neon_edge.types import CameraFrame, Float32

GIB = 2**30
WORDS = "Pick up the red cup."
Result = TypeVar("Result")


def main() -> int:
    """Measure the named recipes, then print what there is."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipes", nargs="*")
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()) / "sizes")
    parser.add_argument("--precision", choices=("fp32", "fp16", "bf16"), help="not the recipe's")
    parser.add_argument("--without-reference", action="store_true")
    parser.add_argument("--compile", nargs=2, metavar=("GRAPH", "PLAN"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.compile:
        return compile_one(*map(Path, options.compile))
    options.directory.mkdir(parents=True, exist_ok=True)
    for name in options.recipes:
        if not (options.directory / f"{load_recipe(name).name}.json").exists():
            measure(name, options)
    print(table([json.loads(path.read_text()) for path in options.directory.glob("*.json")]))
    return 0


class Measured:
    """Steps that are timed, and forgotten but for their figures."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []
        self._clock = MonotonicClock()

    def expect(self, more: int) -> None:
        """Say how many."""
        print(f"{more} steps", file=sys.stderr)

    def step(
        self,
        name: str,
        kind: type[Result],
        make: Callable[[], Result],
        files: Callable[[Result], Sequence[str]],
    ) -> Result:
        """Run and time one."""
        reset_peak()
        begun = self._clock.now_ns()
        result = make()
        self.note(name, self._clock.now_ns() - begun, peak_bytes())
        return result

    def note(self, name: str, took_ns: int, peak: int, **more: object) -> None:
        """Keep the figures of one."""
        load = os.getloadavg()[0]
        self.steps.append(
            {"name": name, "s": took_ns / 1e9, "gib": peak / GIB, "load": load, **more}
        )
        print(f"{name:28} {took_ns / 1e9:7.1f} s {peak / GIB:6.2f} GiB", file=sys.stderr)


def measure(name: str, options: argparse.Namespace) -> None:
    """Export, compile and run one recipe; write its JSON."""
    recipe = load_recipe(name)
    if options.precision:
        text = msgspec.structs.replace(recipe.text, precision=options.precision)
        recipe = Recipe(text, recipe.directory)
    measured = Measured()
    work = options.directory / recipe.name
    shutil.rmtree(work, ignore_errors=True)
    manifest = export_backbone(recipe, "random:0", work, measured)
    bundle = sum(path.stat().st_size for path in work.iterdir())
    # Sound and streams have no moment of noise here.
    plain = manifest.streams is None and manifest.audio is None
    compared = plain and not options.without_reference
    apart = error(recipe, work, manifest, measured) if compared else None
    plans = sum(compile_apart(work, part, measured) for part in manifest.parts)
    shutil.rmtree(work)
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


def compile_apart(work: Path, part: Part, measured: Measured) -> int:
    """Bytes of the plan of one part, compiled in a process of its own; the files go."""
    plan = work / f"{part.name}.plan"
    command = [sys.executable, __file__, "--compile", str(work / part.onnx), str(plan)]
    begun = MonotonicClock().now_ns()
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    took = MonotonicClock().now_ns() - begun
    size = plan.stat().st_size
    measured.note(f"compile {part.name}", took, int(ran.stdout.split()[-1]), plan=size)
    for path in (plan, work / part.onnx, weights_of(work / part.onnx)):
        path.unlink(missing_ok=True)
    return size


def compile_one(graph: Path, plan: Path) -> int:
    """Compile and print the peak: the other side of `compile_apart`."""
    from neon_edge.engine.rtx import compile_rtx

    compile_rtx(graph, plan)
    print(peak_bytes())
    return 0


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


def reset_peak() -> None:
    """Forget the high-water mark of this process (Linux, proc(5): clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int:
    """The high-water mark of this process."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if "VmHWM" in line)


def table(found: list[dict[str, Any]]) -> str:
    """Markdown; times are sums over a recipe's parts, peaks the highest of them."""
    lines = [
        "| recipe | precision | parameters | tokens | bundle | export | its peak | compile "
        "| its peak | plans | reference peak | 1 - cosine | largest error | load |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for facts in sorted(found, key=lambda f: str(f["recipe"])):
        kinds = {kind: _of(facts["steps"], kind) for kind in ("export", "compile", "reference")}
        made = kinds["export"] + _of(facts["steps"], "embedding")
        lines.append(
            f"| `{facts['recipe']}` | {facts['precision']} | {facts['parameters'] / 1e9:.2f} B "
            f"| {facts['tokens']} | {facts['bundle'] / 1e9:.1f} GB "
            f"| {_seconds(made)} | {_peak(made)} "
            f"| {_seconds(kinds['compile'])} | {_peak(kinds['compile'])} "
            f"| {facts['plans'] / 1e9:.1f} GB | {_peak(kinds['reference'])} | {_apart(facts)} "
            f"| {max(step['load'] for step in facts['steps']):.0f} |"
        )
    return "\n".join(lines)


def _apart(facts: dict[str, Any]) -> str:
    error = facts.get("error")
    return f"{error['cosine lost']:.1e} | {error['relative']:.1e}" if error else "not run | "


def _of(steps: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [step for step in steps if step["name"].startswith(kind)]


def _seconds(steps: list[dict[str, Any]]) -> str:
    return f"{sum(step['s'] for step in steps):.0f} s"


def _peak(steps: list[dict[str, Any]]) -> str:
    return f"{max((step['gib'] for step in steps), default=0):.1f} GiB" if steps else "not run"


if __name__ == "__main__":
    raise SystemExit(main())
