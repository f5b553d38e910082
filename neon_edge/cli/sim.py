"""`neon-edge sim`: a robot's emulated motors on channels that any program can open."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from neon_edge.clock import MonotonicClock
from neon_edge.config import load_robot
from neon_edge.sim.faults import load_faults
from neon_edge.sim.launch import simulated, start_sim
from neon_edge.sim.state import BASE_CHANNEL

POLL_NS = 200_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's flags."""
    parser.add_argument("--robot", default="sim", help="a name, or the path of a robot file")
    parser.add_argument("--faults", type=Path, help="a TOML of what goes wrong, and when")
    parser.add_argument("--seconds", type=float, help="stop after this long")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")


def main(options: argparse.Namespace) -> int:
    """Open the channels, print them, and serve until Ctrl-C."""
    robot = simulated(load_robot(options.robot))
    faults = ""
    if options.faults is not None:
        load_faults(options.faults, robot)
        faults = options.faults.read_text(encoding="utf-8")
    clock = MonotonicClock()
    with (
        tempfile.TemporaryDirectory(prefix="neon-edge-sim-") as place,
        start_sim(robot, Path(place), faults) as sim,
    ):
        end_ns = None if options.seconds is None else clock.now_ns() + int(options.seconds * 1e9)
        if options.json:
            print(json.dumps({"pid": sim.pid, "channels": sim.channels}), flush=True)
        else:
            for bus, channel in sim.channels.items():
                joints = sum(joint.bus == bus for joint in robot.joints)
                moves = "velocities" if bus == BASE_CHANNEL else f"{joints:>3} joints"
                print(f"{bus:<16}{channel:<40}{moves}", flush=True)
            print("put these channels into a robot file; Ctrl-C ends", file=sys.stderr)
        try:
            while end_ns is None or clock.now_ns() < end_ns:
                clock.sleep_until_ns(clock.now_ns() + POLL_NS)
        except KeyboardInterrupt:
            print(file=sys.stderr)
    return 0
