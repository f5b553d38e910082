"""`neon-edge verify`: plans against the network they were made from, again, with a page to read."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import msgspec
from msgspec import structs

from neon_edge.engine.manifest import read_manifest, write_manifest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's flags."""
    parser.add_argument(
        "plans", type=Path, help="a directory of plans, such as engines/built/X/current"
    )
    parser.add_argument("--bundle", type=Path, help="what they were compiled from (default: found)")
    parser.add_argument("--page", type=Path, help="where the page goes (default PLANS/verify.html)")
    parser.add_argument("--threads", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    parser.add_argument("--json", action="store_true", help="gates and errors on stdout")


def main(options: argparse.Namespace) -> int:
    """Measure, write the manifest and the page, say what was found; 1 where a gate is missed."""
    from neon_edge.build.placed import writing_in
    from neon_edge.build.verify import find_bundle, measured
    from neon_edge.build.verify_page import PAGE, write_page

    manifest = read_manifest(options.plans)
    bundle = options.bundle or find_bundle(options.plans, manifest)
    with writing_in(options.plans):
        found = measured(bundle, options.plans, manifest, options.threads)
        manifest = structs.replace(manifest, gates=found.gates, errors=found.errors)
        write_manifest(options.plans, manifest)
        target = options.page or options.plans / PAGE
        caption = write_page(target, manifest, bundle, found.frames)
    for gate in found.gates:
        verdict = "passed" if gate.passed else "MISSED"
        figures = f"{gate.measured:.3g} {gate.unit}, limit {gate.limit:.3g}, worst {gate.worst}"
        print(f"{verdict}  {gate.name}: {figures}", file=sys.stderr)
    print(f"page {target}; worst frame: {caption}", file=sys.stderr)
    if options.json:
        sys.stdout.buffer.write(msgspec.json.encode([found.gates, found.errors]) + b"\n")
    return 0 if all(gate.passed for gate in found.gates) else 1
