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
from neon_edge.engine.manifest import BackboneManifest
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
        if kept.exists():
            found |= msgspec.json.decode(kept.read_bytes(), type=dict[str, Range])
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
        kept.write_bytes(msgspec.json.encode(rows))
        found |= rows
    return Ranges(backbone.recipe, backbone.model_hash, sha256, dict(sorted(found.items())))


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


def check_ranges(directory: Path, backbone: BackboneManifest) -> None:
    """Ranges beside a calibration set are of this backbone and that set. Raises `ConfigWrong`."""
    path = directory / RANGES
    if not path.exists():
        return
    ranges = msgspec.json.decode(path.read_bytes(), type=Ranges)
    if ranges.model_hash != backbone.model_hash:
        raise ConfigWrong(
            "the ranges are of another recipe or other weights",
            f"{path}: {ranges.recipe} {ranges.model_hash}, here {backbone.recipe} "
            f"{backbone.model_hash}",
            "calibrate again: neon-edge calibrate RECIPE --bundle DIR",
        )
    if ranges.moments_sha256 != sha256_file(directory / FILE_NAME):
        raise ConfigWrong(
            "the ranges are of another calibration set",
            f"{path} and {FILE_NAME} do not belong together",
            "calibrate again",
        )


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
