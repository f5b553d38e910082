"""`neon-edge replay`: a recording once more through heads and safety, command by command."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from neon_edge.runtime.replay import ReplayReport, replay


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's flags."""
    parser.add_argument("recording", type=Path, help="what run --record wrote; a .part will do")
    parser.add_argument("--engines", default="", help="where the recorded plans are now")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")


def main(options: argparse.Namespace) -> int:
    """Replay it; exit 1 with the first difference where a command differs."""
    report = replay(options.recording, options.engines)
    if options.json:
        sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    else:
        print("\n".join(describe(report)))
    return 1 if report.differing else 0


def describe(report: ReplayReport) -> list[str]:
    """The outcome in a few lines."""
    lines = []
    if report.cut_short:
        lines.append(f"the recording is cut short ({report.cut_short}): replayed what is whole")
    first = report.first
    if first is not None:
        lines.append(f"first difference at tick {first.tick}: {first.what}")
        if first.recorded:
            where = f"  joint {first.joint}" if first.joint else "  value"
            lines.append(f"{where}: recorded {first.recorded}, replayed {first.replayed}")
    lines.append(
        f"{report.ticks} ticks of {report.robot}, {report.features} features, "
        f"{report.processes} control process{'es' if report.processes != 1 else ''} · "
        f"{report.differing} commands differ"
    )
    return lines
