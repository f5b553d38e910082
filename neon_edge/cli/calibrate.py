"""`neon-edge calibrate`: recorded work of the robot → moments to calibrate on, and their ranges."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import msgspec

from neon_edge.errors import UsageWrong

CALIBRATION = Path("calibration")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's flags."""
    parser.add_argument("recipe", help="a recipe's name or directory")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--clip", default="", help="a recorded video")
    source.add_argument("--lerobot", type=Path, help="root of a LeRobot dataset (v2.1, v3.0)")
    parser.add_argument("--camera", action="append", default=[], help="of the dataset, in order")
    parser.add_argument("--instruction", action="append", default=[], help="spoken over the clip")
    parser.add_argument(
        "--joint", action="append", default=[], metavar="THEIRS=OURS",
        help="what the checkpoint calls a joint of the dataset",
    )  # fmt: skip
    parser.add_argument("--moments", type=int, help="how many (default: the recipe's)")
    parser.add_argument("--seed", type=int, help="of the draw (default: the recipe's)")
    parser.add_argument("--bundle", type=Path, help="a float bundle: measure the ranges too")
    parser.add_argument("--out", type=Path, help="default calibration/RECIPE")
    parser.add_argument("--threads", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    parser.add_argument("--json", action="store_true", help="what was found on stdout")


def main(options: argparse.Namespace) -> int:
    """Draw, write, and measure where a bundle is given. Started again, it goes on."""
    from neon_edge.build.calibrate import take
    from neon_edge.build.calibrate.ranges import backbone_of, extremes, measure_ranges, write_ranges
    from neon_edge.build.calibrate.split import Counts
    from neon_edge.build.recipe import load_recipe

    recipe = load_recipe(options.recipe)
    settings = recipe.text.quantise
    count = settings.samples if options.moments is None else options.moments
    seed = settings.seed if options.seed is None else options.seed
    if count < 0:
        raise UsageWrong("a negative number of moments", f"--moments {count}", "use 16")
    backbone = None if options.bundle is None else backbone_of(options.bundle, recipe.name)
    directory = options.out or CALIBRATION / recipe.name
    said = options.instruction or [take.INSTRUCTION]
    pairs = take.joint_pairs(options.joint)
    recording = take.Recording(options.clip, options.lerobot, options.camera, said, pairs)
    found = take.take(recording, recipe, Counts(count, settings.set_aside), seed)
    sha256 = take.write_taken(directory, found)
    report = take.report(found, sha256)
    _tell(f"{report.moments} moments in {directory}, sha256 {sha256[:16]}")
    _tell(f"{report.set_aside} set aside to judge plans by, {report.tuning} of them to tune")
    encoded = msgspec.json.encode(report)
    if backbone is not None:
        moments, threads = found.moments, options.threads
        ranges = measure_ranges(options.bundle, backbone, moments, directory, threads, _tell)
        _tell(f"wrote {write_ranges(directory, ranges)}")
        for line in extremes(ranges):
            _tell(line)
        encoded = msgspec.json.encode(ranges, order="sorted")
    if options.json:
        sys.stdout.buffer.write(encoded + b"\n")
    return 0


def _tell(step: str) -> None:
    print(f"neon-edge calibrate: {step}", file=sys.stderr, flush=True)
