"""The actions of `neon-edge bus` about single CAN frames."""

from __future__ import annotations

import argparse

from neon_edge.clock import Clock, wall_clock_ns
from neon_edge.config import CanBus, RobotConfig
from neon_edge.errors import UsageWrong
from neon_edge.transport import open_bus
from neon_edge.transport.protocol import candump


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
    config = robot.buses[0]
    if not isinstance(config, CanBus):
        raise UsageWrong(
            "only CAN has frames to send", f"{config.name} is serial", "name a CAN bus"
        )
    try:
        frames = [candump.frame(text) for text in options.what]
    except ValueError as failure:
        raise UsageWrong("that is no frame", str(failure), "as in 123#DEADBEEF") from None
    if not frames or (any(frame.fd for frame in frames) and not config.fd):
        facts = "no frame was given" if not frames else f"bus {config.name!r} has fd = false"
        raise UsageWrong("there is nothing to send like that", facts, "bus send 123#DEADBEEF")
    bus = open_bus(config, clock)
    try:
        sent = bus.send(frames)
    finally:
        bus.close()
    print(f"{sent} of {len(frames)} sent")
    return 0 if sent == len(frames) else 1
