"""What `run` and `profile` share: a robot, its simulated body if it has one, a supervised run."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import ExitStack
from pathlib import Path

import msgspec

from neon_edge.config import load_robot
from neon_edge.config.robot import RobotConfig
from neon_edge.profile.observe import Beside, alone
from neon_edge.runtime.metrics import about, served
from neon_edge.runtime.report import RunReport, with_received
from neon_edge.runtime.rundir import RunDirectory
from neon_edge.runtime.supervisor import Supervisor, prepare
from neon_edge.sim.launch import Simulation, start_sim, with_channels
from neon_edge.telemetry.log import start_logging


def add_robot_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that mean the same in both verbs."""
    parser.add_argument("--robot", default="", help="a name, or the path of a robot file")
    parser.add_argument("--engines", help="plans to use instead of the robot file's")
    parser.add_argument("--instruction", help="words to use instead of the robot file's")
    parser.add_argument("--seconds", type=float, help="stop after this long")
    parser.add_argument("--backbone-threads", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    parser.add_argument("--record", type=Path, help="record the run as an MCAP file")
    parser.add_argument("--record-max-mb", type=int, default=0, help="FILE.1, … after so much")
    parser.add_argument("--metrics", help="serve Prometheus at [HOST:]PORT; loopback by default")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    parser.add_argument("-q", "--quiet", action="store_true", help="no live line")


def robot_from(options: argparse.Namespace) -> RobotConfig:
    """The robot file, with what the command line says instead."""
    robot = load_robot(options.robot)
    changes = {
        key: getattr(options, key)
        for key in ("engines", "instruction")
        if getattr(options, key) is not None
    }
    return msgspec.structs.replace(robot, **changes)


def run_robot(robot: RobotConfig, options: argparse.Namespace, beside: Beside = alone) -> RunReport:
    """Run it inside `beside`'s block; a simulated robot's body lives just as long."""
    start_logging("supervisor")
    with ExitStack() as opened:
        directory = opened.enter_context(RunDirectory())
        spec, manifest = prepare(robot, directory, options.seconds, options.backbone_threads)
        spec = msgspec.structs.replace(spec, record=options.record is not None)
        body: Simulation | None = None
        if robot.emulated:
            body = start_sim(robot, directory)
            opened.callback(body.stop)
            robot = with_channels(robot, body.channels)
            spec = msgspec.structs.replace(spec, robot=robot)
        live = sys.stderr.isatty() and not options.quiet
        metrics = opened.enter_context(served(options.metrics, about(manifest, robot.name)))
        draw, most_bytes = _draw if live else lambda _: None, options.record_max_mb * 1_000_000
        supervisor = Supervisor(spec, manifest, draw, options.record, metrics, most_bytes)
        with beside(spec, manifest):
            report = supervisor.run()
        if live:
            print(file=sys.stderr)
        if supervisor.recorded is not None:
            print(f"recorded {supervisor.recorded}", file=sys.stderr)
        if body is None:
            return report
        enabling = supervisor.enabling
        received = body.settled(report.joint_commands_sent + enabling) - enabling
        return with_received(report, received, body.base_taken(report.base_commands_sent))


def _draw(status: str) -> None:
    print(f"\r\033[K{status}", end="", file=sys.stderr, flush=True)
