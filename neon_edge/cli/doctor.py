"""`neon-edge doctor`: everything that must be true on this machine, each with its fix."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import ExitStack

import msgspec

from neon_edge.cli.gravity import warn_before
from neon_edge.clock import MonotonicClock
from neon_edge.config import RobotConfig, find_robot, load_robot
from neon_edge.errors import NeonEdgeError, UsageWrong
from neon_edge.runtime.doctor.check import Check, Machine
from neon_edge.runtime.doctor.examine import examine
from neon_edge.runtime.doctor.robot import failed, motors
from neon_edge.runtime.driven import refuse_driven
from neon_edge.runtime.rundir import RunDirectory
from neon_edge.sim.launch import start_sim, with_channels

MARKS = {"ok": "ok", "warning": "WARNING", "failed": "FAILED"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's flags."""
    robot = os.environ.get("NEON_EDGE_ROBOT", "")
    parser.add_argument("--robot", default=robot, help="also this robot's plans, buses and motors")
    parser.add_argument("--engines", help="plans to use instead of the robot file's")
    parser.add_argument("--motors", action="store_true", help="ask every motor; takes torque off")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")


def main(options: argparse.Namespace) -> int:
    """Examine; exit 1 where something failed. Warnings are for people."""
    if options.motors and not options.robot:
        raise UsageWrong("motors of which robot?", "--motors without --robot", "add --robot NAME")
    checks = _checks(options)
    if options.json:
        sys.stdout.buffer.write(msgspec.json.encode(checks) + b"\n")
    else:
        print("\n".join(line for check in checks for line in describe(check)))
    return 1 if any(check.outcome == "failed" for check in checks) else 0


def _checks(options: argparse.Namespace) -> list[Check]:
    if not options.robot:
        return list(examine(Machine(), None))
    try:
        robot = load_robot(options.robot)
    except NeonEdgeError as failure:
        return [*examine(Machine(), None), failed("robot file", failure)]
    if options.engines is not None:
        robot = msgspec.structs.replace(robot, engines=options.engines)
    found = Check("robot file", "ok", f"{robot.name}: {find_robot(options.robot)}")
    checks = [found, *examine(Machine(), robot)]
    if options.motors:
        checks += _motors(robot)
    return checks


def _motors(robot: RobotConfig) -> list[Check]:
    try:
        refuse_driven(robot)
    except UsageWrong as failure:
        return [failed("motors", failure)]
    warn_before(robot, "finding the motors")
    with ExitStack() as opened:
        if robot.emulated:
            body = opened.enter_context(start_sim(robot, opened.enter_context(RunDirectory())))
            robot = with_channels(robot, body.channels)
        return list(motors(robot, MonotonicClock()))


def describe(check: Check) -> list[str]:
    """A row, and its fix below it."""
    lines = [f"{check.name:24} {MARKS[check.outcome]:8} {check.found}"]
    return [*lines, f"{'':33} fix  {check.fix}"] if check.fix else lines
