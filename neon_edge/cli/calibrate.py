"""`neon-edge calibrate`: recorded work of the robot → moments to calibrate on, and their ranges."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import msgspec

from neon_edge.errors import UsageWrong

CALIBRATION = Path("calibration")
INSTRUCTION = "pick up the red cube and put it in the box"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's flags."""
    parser.add_argument("recipe", help="a recipe's name or directory")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--clip", help="a recorded video")
    source.add_argument("--lerobot", type=Path, help="root of a LeRobot dataset (v2.1, v3.0)")
    parser.add_argument("--camera", action="append", default=[], help="of the dataset, in order")
    parser.add_argument("--instruction", action="append", default=[], help="spoken over the clip")
    parser.add_argument("--moments", type=int, help="how many (default: the recipe's)")
    parser.add_argument("--seed", type=int, help="of the draw (default: the recipe's)")
    parser.add_argument("--bundle", type=Path, help="a float bundle: measure the ranges too")
    parser.add_argument("--out", type=Path, help="default calibration/RECIPE")
    parser.add_argument("--threads", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    parser.add_argument("--json", action="store_true", help="the ranges on stdout")


def main(options: argparse.Namespace) -> int:
    """Draw, write, and measure where a bundle is given. Started again, it goes on."""
    from neon_edge.build.calibrate.clip import from_clip
    from neon_edge.build.calibrate.lerobot import from_lerobot
    from neon_edge.build.calibrate.moments import Window, checked, write_moments
    from neon_edge.build.calibrate.ranges import extremes, measure_ranges, write_ranges
    from neon_edge.build.recipe import load_recipe
    from neon_edge.engine.manifest import read_manifest

    recipe = load_recipe(options.recipe)
    settings, pictures = recipe.text.quantise, recipe.adaptor.image.count
    count = settings.samples if options.moments is None else options.moments
    seed = settings.seed if options.seed is None else options.seed
    if count < 0:
        raise UsageWrong("a negative number of moments", f"--moments {count}", "use 16")
    directory = options.out or CALIBRATION / recipe.name
    audio = recipe.adaptor.audio
    if options.clip:
        said = options.instruction or [INSTRUCTION]
        moments = from_clip(options.clip, said, count, pictures, seed, audio, recipe.apart_s)
    else:
        window = Window(pictures, recipe.apart_s)
        moments = from_lerobot(options.lerobot, count, options.camera, seed, audio, window)
    checked(moments, pictures, window=recipe.adaptor.image.window)
    sha256 = write_moments(directory, moments)
    _tell(f"{len(moments.names)} moments in {directory}, sha256 {sha256[:16]}")
    if options.bundle is None:
        return 0
    backbone = read_manifest(options.bundle).backbone
    ranges = measure_ranges(options.bundle, backbone, moments, directory, options.threads, _tell)
    _tell(f"wrote {write_ranges(directory, ranges)}")
    for line in extremes(ranges):
        _tell(line)
    if options.json:
        sys.stdout.buffer.write(msgspec.json.encode(ranges, order="sorted") + b"\n")
    return 0


def _tell(step: str) -> None:
    print(f"neon-edge calibrate: {step}", file=sys.stderr, flush=True)
