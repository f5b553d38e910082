"""`neon-edge run`: drive the robot; the only verb that a service calls."""

from __future__ import annotations

import argparse
import sys

import msgspec

from neon_edge.cli.gravity import warn_of_run
from neon_edge.cli.robot_run import add_robot_arguments, robot_from, run_robot
from neon_edge.profile.table import draw_table, summary_line
from neon_edge.runtime.children import ChildFailed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's flags."""
    add_robot_arguments(parser)


def main(options: argparse.Namespace) -> int:
    """Run it and say what happened."""
    robot = robot_from(options)
    warn_of_run(robot)
    try:
        report = run_robot(robot, options)
    except ChildFailed as failure:
        return failure.code
    if options.json:
        sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    else:
        print(draw_table(report, None), file=sys.stderr)
    print(summary_line(report), file=sys.stderr)
    return 0
