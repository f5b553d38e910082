"""`neon-edge inspect`: what is in a directory of plans, and does it fit this machine."""

from __future__ import annotations

import argparse
import sys

import msgspec

from neon_edge.build.ledger import unfinished
from neon_edge.engine.described import describe
from neon_edge.engine.manifest import read_manifest
from neon_edge.engine.plan import check_fits, check_plan_file, this_machine
from neon_edge.errors import ConfigWrong
from neon_edge.runtime.plans import built_path, find_plans


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's flags."""
    parser.add_argument("engines", help="a built recipe's name, or a directory with a manifest")
    parser.add_argument("--json", action="store_true", help="the manifest itself on stdout")


def main(options: argparse.Namespace) -> int:
    """Print the manifest for a person, or as it is; exit 78 where plans do not fit here."""
    try:
        directory = find_plans(options.engines)
    except ConfigWrong as failure:
        raise unfinished(options.engines, built_path()) or failure from None
    manifest = read_manifest(directory)
    if options.json:
        sys.stdout.buffer.write(msgspec.json.encode(manifest) + b"\n")
    else:
        print(f"{directory}\n")
        print("\n".join(describe(manifest)))
    if manifest.machine is None:
        return 0
    check_fits(manifest, this_machine(manifest.machine.engine))
    for part in (*manifest.backbone.parts, *manifest.heads.parts):
        try:
            check_plan_file(directory, part)
        except ConfigWrong as failure:
            print(f"neon-edge: {failure}", file=sys.stderr)
            return failure.exit_code
    return 0
