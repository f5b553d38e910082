"""`neon-edge profile`: the real runtime, every stage, judged against the robot's budget."""

from __future__ import annotations

import argparse
import sys

import msgspec

from neon_edge.cli.robot_run import add_robot_arguments, robot_from, run_robot
from neon_edge.profile.budget import judge
from neon_edge.profile.table import draw_table, summary_line
from neon_edge.runtime.supervisor import ChildFailed

SECONDS = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's flags."""
    add_robot_arguments(parser)
    parser.set_defaults(seconds=SECONDS)


def main(options: argparse.Namespace) -> int:
    """Run, print the table, and say by the exit code whether the budget was kept."""
    robot = robot_from(options)
    try:
        report = run_robot(robot, options)
    except ChildFailed as failure:
        return failure.code
    verdicts = judge(report, robot.budget)
    if options.json:
        sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
        print(draw_table(report, verdicts), file=sys.stderr)
    else:
        print(draw_table(report, verdicts))
    print(summary_line(report), file=sys.stderr)
    return 0 if all(verdict.kept for verdict in verdicts) else 1
