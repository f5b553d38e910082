"""`neon-edge profile`: the real runtime, every stage, judged against the robot's budget."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from neon_edge.cli.gravity import warn_of_run
from neon_edge.cli.robot_run import add_robot_arguments, robot_from, run_robot
from neon_edge.errors import UsageWrong
from neon_edge.profile.compare import Before, percent, read_before
from neon_edge.profile.observe import Observed
from neon_edge.profile.page import write_page
from neon_edge.profile.places import check_places
from neon_edge.profile.present import present
from neon_edge.profile.report import ProfileReport, compared, profile_report
from neon_edge.profile.table import summary_line
from neon_edge.profile.trace import write_trace
from neon_edge.runtime.children import ChildFailed

SECONDS = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's flags."""
    add_robot_arguments(parser)
    parser.set_defaults(seconds=SECONDS)
    parser.add_argument("--report", type=Path, metavar="HTML", help="one self-contained page")
    parser.add_argument("--trace", type=Path, metavar="JSON", help="a trace for ui.perfetto.dev")
    parser.add_argument("--against", type=Path, metavar="JSON", help="what --json said before")
    parser.add_argument("--worse-than", metavar="PERCENT", help="exit 1 if --against was better")


def main(options: argparse.Namespace) -> int:
    """Run, print, write what was asked for; the exit code says whether the budget was kept."""
    robot = robot_from(options)
    check_places((options.report, options.trace))
    before, allowed = _before(options), percent(options.worse_than)
    seen = Observed()
    warn_of_run(robot)
    try:
        ran = run_robot(robot, options, seen.beside)
    except ChildFailed as failure:
        return failure.code
    report = profile_report(ran, seen, robot)
    if before is not None:
        report = compared(report, before, allowed)
    text = present(report)
    if options.json:
        sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    print(text, file=sys.stderr if options.json else sys.stdout)
    print(summary_line(report), file=sys.stderr)
    _write(report, seen, options)
    return 0 if report.kept else 1


def _before(options: argparse.Namespace) -> Before | None:
    if options.against:
        return read_before(options.against)
    if options.worse_than is not None:
        raise UsageWrong(
            "worse than what?", "--worse-than without --against", "add --against before.json"
        )
    return None


def _write(report: ProfileReport, seen: Observed, options: argparse.Namespace) -> None:
    if options.report:
        write_page(options.report, report, seen)
    if options.trace:
        write_trace(options.trace, seen)
    hint = {"report": "", "trace": " (open it in ui.perfetto.dev)"}
    wrote = [f"{path}{hint[key]}" for key in hint if (path := getattr(options, key))]
    if wrote:
        print(f"wrote {' · '.join(wrote)}", file=sys.stderr)
