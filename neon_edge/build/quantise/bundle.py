"""A float bundle → the same bundle with quantised Linears, its gate measured, its skips found."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from msgspec import structs

from neon_edge.build.calibrate.moments import CalibrationSet, checked
from neon_edge.build.compile import compiled
from neon_edge.build.importers import QuantisedLinear
from neon_edge.build.placed import PART, put, scratch, writing_in
from neon_edge.build.quantise.feeds import Feeds, host_feeds, part_feeds
from neon_edge.build.quantise.kept import Kept, key_of
from neon_edge.build.quantise.layers import Quantised, Report, quantise
from neon_edge.build.quantise.linears import find_linears
from neon_edge.build.quantise.method import Bits, Method
from neon_edge.build.quantise.sensitivity import measure_alone
from neon_edge.build.quantise.skip import Group, find_skip
from neon_edge.build.quantise.written import write_placed
from neon_edge.build.recipe import Quantise
from neon_edge.build.verify_page import PAGE, worst_of
from neon_edge.engine.manifest import (
    EngineKind,
    Manifest,
    Part,
    read_manifest,
)
from neon_edge.errors import ConfigWrong, GateMissed

KEPT = "quantised_layers"

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Work:
    """What to quantise, on what, and where to keep layers that are done."""

    bundle: Path
    moments: CalibrationSet
    settings: Quantise
    threads: int
    kept: Path
    engine: EngineKind
    """What the gate is measured on while layers are moved back to float."""


def quantise_bundle(work: Work, bits: Bits, target: Path, tell: Tell) -> Manifest:
    """Write `target`, whole or not at all.

    Layers go back to float, worst first, until the gate passes on the samples to tune by; it is
    for `compile_bundle` to judge the result on the others. Raises `GateMissed` when no skip-list
    within the recipe's share is enough: then only a page is left, beside `target`.
    """
    manifest = read_manifest(work.bundle)
    image, robot = manifest.backbone.image, ",".join(manifest.heads.joint_names)
    work = replace(work, moments=checked(work.moments, image.count, robot, image.window))
    done = quantise_parts(work, manifest, bits, tell)
    reports = [
        replace(report, name=f"{part}/{report.name}")
        for part, quantised in done.items()
        for report in quantised.reports
    ]
    _check_skip(work.settings.skip, reports)
    partial = target.with_name(target.name + PART)
    effects: dict[str, float] = {}
    missed = target.with_name(f"{target.name}-missed.html")

    def passes(names: list[str]) -> bool:
        _write(work, manifest, done, bits, names, partial)
        write_reports(partial, reports, work.moments.names, names, effects)
        with scratch(target.parent) as place:
            plans = place / "trial"
            trial = compiled(partial, plans, work.engine, work.threads, _silent, tuning=True)
            (plans / PAGE).replace(missed)
            worst_of(plans / PAGE).replace(worst_of(missed))
        failed = [gate for gate in trial.gates if not gate.passed]
        tell(f"{bits}, {len(names)} layers in float: " + (_said(failed) or "gate passed"))
        return not failed

    def measure(groups: list[Group]) -> list[Group]:
        most = work.settings.sensitivity
        found = measure_alone(
            work.bundle,
            manifest.backbone,
            work.moments,
            done,
            groups[:most],
            work.kept,
            work.threads,
            lambda step: tell(f"{bits} sensitivity: {step}"),
        )
        effects.update({n: g.effect for g in found for n in g.names if g.effect is not None})
        return found + groups[most:]

    skip = find_skip(reports, passes, work.settings.skip, work.settings.skip_share, measure)
    if not skip.passed:
        shutil.rmtree(partial, ignore_errors=True)
        raise GateMissed(
            f"{bits} misses its gate whatever stays in float",
            f"{len(skip.names)} layers, {skip.share:.1%} of the weights, were given back; what was "
            f"measured then: {missed}",
            "use a finer precision, or more and better calibration moments",
        )
    missed.unlink()
    worst_of(missed).unlink()
    put(partial, target)
    return read_manifest(target)


def _check_skip(skip: list[str], reports: list[Report]) -> None:
    unknown = sorted(set(skip) - {report.name for report in reports})
    if unknown:
        raise ConfigWrong(
            f"the recipe's skip-list names a Linear that is not there: {unknown[0]!r}",
            f"there are {len(reports)}, such as {reports[0].name!r}",
            "write PART/NAME as layers.json beside a quantised bundle does",
        )


def quantise_parts(work: Work, manifest: Manifest, bits: Bits, tell: Tell) -> dict[str, Quantised]:
    """Every part by itself, each on what the float parts before it make of the moments."""
    feeds = host_feeds(work.bundle, manifest.backbone, work.moments)
    patterns = dict.fromkeys(work.settings.int8, False)
    done: dict[str, Quantised] = {}
    for part, fed in part_feeds(work.bundle, manifest.backbone, feeds, work.threads):
        done[part.name] = quantise_part(work, part, fed, bits, tell, patterns)
    unused = [pattern for pattern, used in patterns.items() if not used]
    if unused:
        raise ConfigWrong(
            f"the recipe's int8 list names no Linear: {unused[0]!r}",
            f"parts are {', '.join(done)}",
            "write PART/NAME, with * for any part of a name",
        )
    return done


def quantise_part(
    work: Work,
    part: Part,
    fed: Feeds,
    bits: Bits,
    tell: Tell,
    patterns: dict[str, bool] | None = None,
) -> Quantised:
    """One part; `patterns` of Linears that are W8A8 whatever `bits` is are marked where used."""
    model = onnx.load(str(work.bundle / part.onnx))
    settings = work.settings
    int8 = _matching(part.name, model, patterns or {})
    method = Method(int8, settings.rounding, settings.ranges)
    key = key_of(part.onnx_sha256, fed, (bits, work.settings.seed, method))
    with writing_in(work.kept):
        done = quantise(
            model,
            fed,
            bits,
            Kept(work.kept, key),
            threads=work.threads,
            seed=settings.seed,
            method=method,
            tell=lambda step: tell(f"{bits} {part.name}: {step}"),
        )
    pieces = len(fed) // len(work.moments.names)
    done.reports = [replace(report, sample=report.sample // pieces) for report in done.reports]
    return done


def _matching(part: str, model: onnx.ModelProto, patterns: dict[str, bool]) -> tuple[str, ...]:
    names = [linear.name for linear in find_linears(model)]
    found = []
    for pattern, used in patterns.items():
        meant = [name for name in names if fnmatchcase(f"{part}/{name}", pattern)]
        patterns[pattern] = used or bool(meant)
        found += meant
    return tuple(sorted(set(found)))


def _write(
    work: Work,
    manifest: Manifest,
    done: Mapping[str, Quantised],
    bits: Bits,
    skip: list[str],
    target: Path,
) -> None:
    stated = structs.replace(
        manifest,
        backbone=structs.replace(manifest.backbone, quantised=bits, float_layers=skip),
        verification=work.settings.limits(manifest.verification),
    )

    def layers_of(part: Part, _: onnx.ModelProto) -> dict[str, QuantisedLinear]:
        names = [name.partition("/")[2] for name in skip if name.startswith(part.name + "/")]
        return done[part.name].without(names)

    write_placed(work.bundle, stated, layers_of, target)


def write_reports(
    directory: Path,
    reports: list[Report],
    moments: list[str],
    skip: list[str],
    effects: Mapping[str, float],
) -> None:
    """`layers.json`, sorted: what every layer loses and which moment reaches furthest in it.

    `effect` is what the features lose by it and its siblings alone, where that was measured.
    """
    rows = {
        report.name: {
            "alpha": report.alpha,
            "clip": report.clip,
            "effect": _short(effects.get(report.name)),
            "error": _short(report.error),
            "float": report.name in skip,
            "moment": moments[report.sample],
            "reach": float(f"{report.reach:.5g}"),
            "weights": report.weights,
        }
        for report in reports
    }
    encoded = msgspec.json.encode(dict(sorted(rows.items())), order="sorted")
    (directory / "layers.json").write_bytes(msgspec.json.format(encoded, indent=2) + b"\n")


def _short(figure: float | None) -> float | None:
    return None if figure is None or np.isnan(figure) else float(f"{figure:.4g}")


def _said(failed: list[Any]) -> str:
    return "; ".join(
        f"{gate.name} {gate.measured:.3g} {gate.unit}, limit {gate.limit:.3g} ({gate.worst})"
        for gate in failed
    )


def _silent(_: str) -> None:
    """Trials are compiled without a word."""
