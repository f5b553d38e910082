"""`neon-edge build`: recipe + checkpoint → bundle → verified plans for this machine."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import msgspec

from neon_edge.cli.progress import BuildProgress
from neon_edge.engine.described import describe
from neon_edge.engine.manifest import read_manifest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's flags."""
    parser.add_argument("recipe", help="a recipe's name or directory, or a bundle to compile here")
    parser.add_argument("--checkpoint", type=Path, help="what upstream saved: the trained heads")
    parser.add_argument("--weights", help="a directory, a hub id, or random:SEED")
    parser.add_argument("--out", type=Path, help="where plans go (default engines/built/RECIPE)")
    parser.add_argument("--bundle-only", action="store_true", help="stop before compiling")
    parser.add_argument(
        "--engine", choices=("onnxruntime", "tensorrt", "tensorrt-rtx"), default="onnxruntime"
    )
    parser.add_argument("--clip", default="", help="a video to calibrate and judge the plans on")
    parser.add_argument(
        "--precision",
        choices=("none", "int8", "int4", "auto"),
        default="",
        help="quantise the Linears (default: as the recipe says); auto: the fastest that passes",
    )
    parser.add_argument("--calibration", type=Path, help="what neon-edge calibrate wrote")
    parser.add_argument("--threads", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    parser.add_argument("--json", action="store_true", help="the manifest on stdout")


def main(options: argparse.Namespace) -> int:
    """Build, telling each step on stderr."""
    from neon_edge.build.pipeline import BuildRequest, build

    request = BuildRequest(
        recipe=options.recipe,
        checkpoint=options.checkpoint,
        weights=options.weights,
        out=options.out,
        bundle_only=options.bundle_only,
        engine=options.engine,
        clip=options.clip,
        threads=options.threads,
        precision=options.precision,
        calibration=options.calibration,
    )
    progress = BuildProgress()
    try:
        directory = build(request, progress)
    finally:
        progress.close()
    manifest = read_manifest(directory)
    if options.json:
        sys.stdout.buffer.write(msgspec.json.encode(manifest) + b"\n")
    else:
        print("\n".join(describe(manifest)), file=sys.stderr)
    print(f"built {directory}", file=sys.stderr)
    return 0
