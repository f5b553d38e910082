"""How far every Linear's input reaches on a calibration set, and which moment sets it: as JSON."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
from msgspec import Struct

from neon_edge.build.calibrate.moments import FILE_NAME, CalibrationSet, checked
from neon_edge.build.quantise.feeds import host_feeds, part_feeds
from neon_edge.build.quantise.tokens import quantile
from neon_edge.build.quantise.walk import Walk
from neon_edge.engine.files import sha256_file
from neon_edge.engine.manifest import BackboneManifest, read_manifest
from neon_edge.errors import ConfigWrong

RANGES = "ranges.json"


class Range(Struct, frozen=True, forbid_unknown_fields=True):
    """Of one Linear's input."""

    reach: float
    """Largest magnitude."""
    p999: float
    """What 999 in 1000 stay below: far from `reach`, a few tokens set the range."""
    moment: str
    """The moment that set `reach`."""


class Ranges(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file, sorted, numbers to five digits: what changed shows in a diff."""

    recipe: str
    model_hash: str
    moments_sha256: str
    ranges: dict[str, Range]


def backbone_of(bundle: Path, recipe: str) -> BackboneManifest:
    """Whose ranges are measured. Raises `ConfigWrong` where `bundle` is of another recipe."""
    backbone = read_manifest(bundle).backbone
    if backbone.recipe != recipe:
        raise ConfigWrong(
            "the bundle is of another recipe",
            f"{bundle} is of {backbone.recipe}, asked for {recipe}",
            "name the bundle that this recipe was built into",
        )
    return backbone


def measure_ranges(
    bundle: Path,
    backbone: BackboneManifest,
    moments: CalibrationSet,
    directory: Path,
    threads: int,
    tell: Callable[[str], None],
) -> Ranges:
    """Run the float graphs of `bundle`; parts that `directory` holds already are not run again."""
    moments = checked(moments, backbone.image.count, window=backbone.image.window)
    sha256 = sha256_file(directory / FILE_NAME)
    found: dict[str, Range] = {}
    feeds = host_feeds(bundle, backbone, moments)
    for part, fed in part_feeds(bundle, backbone, feeds, threads):
        kept = directory / f"{part.name}.{part.onnx_sha256[:8]}-{sha256[:8]}.ranges.part"
        if (before := _kept(kept)) is not None:
            found |= before
            continue
        walk = Walk(onnx.load(str(bundle / part.onnx)), fed, threads)
        rows: dict[str, Range] = {}
        for stop in walk.stops():
            tell(f"{part.name}: {stop.linears[0].name} ({stop.number + 1} of {stop.total})")
            tops = [float(np.abs(sample).max()) for sample in stop.samples]
            worst = int(np.argmax(tops))
            p999 = quantile(stop.samples, 0.999)
            moment = moments.names[worst * len(moments.names) // len(fed)]
            row = Range(_short(tops[worst]), _short(p999), moment)
            rows |= {f"{part.name}/{linear.name}": row for linear in stop.linears}
        partial = kept.with_suffix(".new.part")
        partial.write_bytes(msgspec.json.encode(rows))
        partial.replace(kept)
        found |= rows
    return Ranges(backbone.recipe, backbone.model_hash, sha256, dict(sorted(found.items())))


def _kept(path: Path) -> dict[str, Range] | None:
    """What was measured before; nothing where that is not there, or damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Range])
    except (OSError, msgspec.MsgspecError):
        return None


def write_ranges(directory: Path, ranges: Ranges) -> Path:
    """Whole or not at all."""
    path = directory / RANGES
    partial = path.with_name(path.name + ".part")
    encoded = msgspec.json.encode(ranges, order="sorted")
    partial.write_bytes(msgspec.json.format(encoded, indent=2) + b"\n")
    partial.replace(path)
    for kept in directory.glob("*.ranges.part"):
        kept.unlink()
    return path


def check_recipe(directory: Path, recipe: str) -> None:
    """Ranges beside a calibration set, where there are any, are of `recipe`. Quick, ahead of an
    export; `check_ranges` knows the weights too. Raises `ConfigWrong`."""
    ranges = _read(directory / RANGES)
    if ranges is not None and ranges.recipe != recipe:
        raise _other(directory, ranges, f"here {recipe}")


def check_ranges(directory: Path, backbone: BackboneManifest) -> None:
    """Ranges beside a calibration set are of this backbone and that set. Raises `ConfigWrong`."""
    ranges = _read(directory / RANGES)
    if ranges is None:
        return
    if ranges.model_hash != backbone.model_hash:
        raise _other(directory, ranges, f"here {backbone.recipe} {backbone.model_hash}")
    moments = directory / FILE_NAME
    if not moments.exists():
        raise ConfigWrong(
            "the moments that the ranges were measured on are not there",
            f"{moments}; only {RANGES} is tracked",
            "make them again from the same recording: neon-edge calibrate RECIPE …",
        )
    if ranges.moments_sha256 != sha256_file(moments):
        raise ConfigWrong(
            "the ranges are of another calibration set",
            f"{directory / RANGES} and {FILE_NAME} do not belong together",
            "calibrate again",
        )


def _other(directory: Path, ranges: Ranges, here: str) -> ConfigWrong:
    return ConfigWrong(
        "the ranges are of another recipe or other weights",
        f"{directory / RANGES}: {ranges.recipe} {ranges.model_hash}, {here}",
        "calibrate again: neon-edge calibrate RECIPE --bundle DIR",
    )


def _read(path: Path) -> Ranges | None:
    """None where nothing was measured. Raises `ConfigWrong`."""
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Ranges)
    except (msgspec.MsgspecError, UnicodeDecodeError) as failure:
        raise ConfigWrong(
            "the ranges cannot be read",
            f"{path}: {failure}",
            "resolve the file where a merge left both sides in it, or measure again: "
            "neon-edge calibrate RECIPE --bundle DIR",
        ) from None


def extremes(ranges: Ranges, count: int = 8) -> list[str]:
    """Which moments set most of the ranges, for a person."""
    tally: dict[str, list[str]] = {}
    for name, row in ranges.ranges.items():
        tally.setdefault(row.moment, []).append(name)
    ranked = sorted(tally.items(), key=lambda item: -len(item[1]))[:count]
    total = len(ranges.ranges)
    return [f"{moment}: sets {len(names)} of {total} ranges" for moment, names in ranked]


def _short(value: float) -> float:
    return float(f"{value:.5g}")
