"""`neon-edge bus ping|scan|dump|send|wiggle|home`: one robot's motors, before it is ever run."""

from __future__ import annotations

import argparse

import msgspec

from neon_edge.cli import bus_frames, bus_look, bus_move
from neon_edge.clock import MonotonicClock
from neon_edge.config import RobotConfig, load_robot
from neon_edge.errors import UsageWrong
from neon_edge.runtime.driven import refuse_driven

ACTIONS = {
    "ping": (bus_look.ping, "find every motor, compare it with the robot file, trip its watchdog"),
    "scan": (bus_look.scan_bus, "every id that answers on a bus: scan [FAMILY]"),
    "dump": (bus_frames.dump, "the frames on a CAN bus, as candump -L writes them"),
    "send": (bus_frames.send, "one frame, as cansend takes it: 123#DEADBEEF"),
    "wiggle": (bus_move.wiggle, "move one joint a few degrees and back"),
    "home": (bus_move.home, "make the pose it stands in the zero, in the robot file"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's flags."""
    parser.add_argument(
        "action",
        choices=ACTIONS,
        help="; ".join(f"{name}: {summary}" for name, (_, summary) in ACTIONS.items()),
    )
    parser.add_argument("what", nargs="*", help="wiggle JOINT, send ID#DATA, home [JOINT ...]")
    parser.add_argument("--robot", default="", help="a name, or the path of a robot file")
    parser.add_argument("--bus", help="one bus only; needed for scan, dump and send")
    parser.add_argument("--channel", help="another channel for that bus, as `neon-edge sim` prints")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long dump listens")
    parser.add_argument("--degrees", type=float, default=3.0, help="how far wiggle moves")
    parser.add_argument("--yes", action="store_true", help="do not ask before moving")


def main(options: argparse.Namespace) -> int:
    """Run one action."""
    robot = only_bus(load_robot(options.robot), options.bus, options.channel)
    action, _ = ACTIONS[options.action]
    if options.action in ("scan", "dump", "send") and len(robot.buses) > 1:
        raise UsageWrong(
            f"bus {options.action} needs one bus",
            f"the robot has {_named(robot)}",
            "add --bus NAME",
        )
    if options.action != "dump":
        refuse_driven(robot)
    return action(robot, options, MonotonicClock())


def _named(robot: RobotConfig) -> str:
    return ", ".join(bus.name for bus in robot.buses)


def only_bus(robot: RobotConfig, bus: str | None, channel: str | None) -> RobotConfig:
    """The part of a robot on one bus, perhaps on another channel; all of it without a name."""
    if bus is None:
        if channel is not None:
            raise UsageWrong("--channel is of one bus", "", "add --bus NAME")
        return robot
    kept = [each for each in robot.buses if each.name == bus]
    if not kept:
        known = ", ".join(each.name for each in robot.buses)
        raise UsageWrong(f"no bus called {bus!r}", f"the robot has {known}", "name one of them")
    if channel is not None:
        kept = [msgspec.structs.replace(kept[0], channel=channel)]
    joints = [joint for joint in robot.joints if joint.bus == bus]
    return msgspec.structs.replace(robot, buses=kept, joints=joints)
