"""`neon-edge record`: a limp robot's pictures, sound and joints → an episode to calibrate on."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from neon_edge.clock import MonotonicClock
from neon_edge.config import load_robot
from neon_edge.errors import UsageWrong

LIMP = "no torque comes on: support the robot, hold it still until it records, then move it by hand"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's flags."""
    parser.add_argument("out", type=Path, help="a LeRobot v2.1 dataset; each call adds an episode")
    parser.add_argument("--robot", default="sim", help="a name, or the path of a robot file")
    parser.add_argument("--instruction", help="what is done (default: the robot file's)")
    parser.add_argument("--seconds", type=float, help="how long (default: until Ctrl-C)")
    parser.add_argument("--fps", type=int, default=30, help="rows a second")


def main(options: argparse.Namespace) -> int:
    """Record one episode. Ctrl-C ends it and keeps what there is."""
    from neon_edge.runtime.episodes.record import Recorded, record
    from neon_edge.sim.launch import start_sim, with_channels

    robot = load_robot(options.robot)
    task = robot.instruction if options.instruction is None else options.instruction
    if not task.strip():
        raise UsageWrong("nothing says what is done", "", "add --instruction TEXT")
    if not 1 <= options.fps <= robot.rate_hz:
        limits = f"1 to {robot.rate_hz:g}, the rate that the buses are laid out for"
        raise UsageWrong(f"{options.fps} rows a second", limits, "use --fps 30")
    rows = None if options.seconds is None else round(options.seconds * options.fps)
    if rows is not None and rows < 1:
        raise UsageWrong("not one row", f"{options.seconds:g} s", "give --seconds more")
    asked: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda caught, _: asked.append(caught))
    with ExitStack() as opened:
        if robot.emulated:
            place = opened.enter_context(tempfile.TemporaryDirectory(prefix="neon-edge-sim-"))
            body = opened.enter_context(start_sim(robot, Path(place)))
            robot = with_channels(robot, body.channels)
        else:
            _tell(LIMP)
        said: Recorded = record(
            robot,
            options.out,
            rows,
            options.fps,
            task,
            MonotonicClock(),
            lambda: bool(asked),
            _tell,
        )
    if said.rows == 0:
        return 130
    _tell(f"{options.out}: episode {said.episode}, {said.rows} rows at {options.fps} Hz")
    for count, what in (
        (said.repeated, "rows came too late and repeat the row before: lower --fps"),
        (said.unanswered, "rows have an older state of some joint: see neon-edge doctor"),
        (said.blind, "rows are dark or frozen: check the cameras"),
        (said.unheard_s, "s of the sound are missing and silent"),
    ):
        if count:
            _tell(f"warning: {count:g} {what}")
    return 0


def _tell(text: str) -> None:
    print(f"neon-edge record: {text}", file=sys.stderr, flush=True)
