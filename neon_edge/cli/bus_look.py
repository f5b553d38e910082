"""The actions of `neon-edge bus` that find motors and move none."""

from __future__ import annotations

import argparse

from neon_edge.cli.gravity import warn_before
from neon_edge.clock import Clock
from neon_edge.config import CanBus, RobotConfig
from neon_edge.errors import UsageWrong
from neon_edge.transport import open_bus, open_robot
from neon_edge.transport.flexible import FlexibleBus
from neon_edge.transport.scan import COMMANDING, QUESTIONS, refuse_misplaced, scan


def ping(robot: RobotConfig, options: argparse.Namespace, clock: Clock) -> int:
    """Bring-up, and where every joint stands."""
    warn_before(robot, "finding the motors")
    with open_robot(robot, clock) as opened:
        pose, told = opened.measure(), opened.counters.told
    for joint, position, says in zip(robot.joints, pose.tolist(), told, strict=True):
        family, watchdog = joint.motor.__struct_config__.tag, joint.motor.watchdog_ms
        watched = f"watchdog {watchdog} ms tripped" if watchdog else "no watchdog"
        where = f"{joint.name:<24}{family} {joint.motor.id:<6}{position:>9.4f} rad"
        print(f"{where}   {watched}   {says}".rstrip())
    return 0


def scan_bus(robot: RobotConfig, options: argparse.Namespace, clock: Clock) -> int:
    """Ask every id of the bus's family."""
    config, family = robot.buses[0], _family(robot, options)
    refuse_misplaced(config, family)
    if family in COMMANDING:
        warn_before(robot, f"a {family} scan, whose only question is LOCK,")
    bus = open_bus(config, clock)
    # On an FD bus motors listen for FD frames, as bring-up sends them.
    wire = FlexibleBus(bus) if isinstance(config, CanBus) and config.fd else bus
    try:
        for found in scan(wire, family, clock):
            print(f"{family} {found.id:<6}{found.says}")
    finally:
        bus.close()
    return 0


def _family(robot: RobotConfig, options: argparse.Namespace) -> str:
    named = [*options.what, *(j.motor.__struct_config__.tag for j in robot.joints)]
    if not named:
        raise UsageWrong(
            "which family is to be asked?",
            f"bus {robot.buses[0].name!r} has no joints",
            f"bus scan FAMILY, one of {', '.join(QUESTIONS)}",
        )
    return str(named[0])
