"""The actions of `neon-edge bus` that move nothing."""

from __future__ import annotations

import argparse

from neon_edge.clock import Clock, wall_clock_ns
from neon_edge.config import CanBus, RobotConfig
from neon_edge.errors import UsageWrong
from neon_edge.transport import open_bus, open_robot
from neon_edge.transport.protocol import candump
from neon_edge.transport.scan import scan


def ping(robot: RobotConfig, options: argparse.Namespace, clock: Clock) -> int:
    """Bring-up, and where every joint stands."""
    with open_robot(robot, clock) as opened:
        pose = opened.measure()
    for joint, position in zip(robot.joints, pose.tolist(), strict=True):
        family, watchdog = joint.motor.__struct_config__.tag, joint.motor.watchdog_ms
        watched = f"watchdog {watchdog} ms tripped" if watchdog else "no watchdog"
        print(f"{joint.name:<24}{family} {joint.motor.id:<6}{position:>9.4f} rad   {watched}")
    return 0


def scan_bus(robot: RobotConfig, options: argparse.Namespace, clock: Clock) -> int:
    """Ask every id of the bus's family."""
    family = options.what[0] if options.what else robot.joints[0].motor.__struct_config__.tag
    bus = open_bus(robot.buses[0], clock)
    try:
        for found in scan(bus, str(family), clock):
            print(f"{family} {found.id:<6}{found.says}")
    finally:
        bus.close()
    return 0


def dump(robot: RobotConfig, options: argparse.Namespace, clock: Clock) -> int:
    """Listen, and print what passes."""
    config = robot.buses[0]
    if not isinstance(config, CanBus):
        raise UsageWrong("only CAN has frames to dump", f"{config.name} is serial", "")
    # Log lines carry the wall clock; the monotonic one tells how long to listen.
    since_1970_ns = wall_clock_ns() - clock.now_ns()
    channel = config.channel if ":" not in config.channel else config.name
    bus = open_bus(config, clock)
    end_ns = clock.now_ns() + int(options.seconds * 1e9)
    try:
        while clock.now_ns() < end_ns:
            for frame in bus.receive_until(end_ns):
                print(candump.line(frame, channel, clock.now_ns() + since_1970_ns), flush=True)
    finally:
        bus.close()
    return 0


def send(robot: RobotConfig, options: argparse.Namespace, clock: Clock) -> int:
    """Send frames as they were typed."""
    try:
        frames = [candump.frame(text) for text in options.what]
    except ValueError as failure:
        raise UsageWrong("that is no frame", str(failure), "as in 123#DEADBEEF") from None
    bus = open_bus(robot.buses[0], clock)
    try:
        print(f"{bus.send(frames)} sent")
    finally:
        bus.close()
    return 0
