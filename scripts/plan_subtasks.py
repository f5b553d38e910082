"""An example planner: walks a running robot through a list of sub-tasks, one instruction each.

    scripts/plan_subtasks.py subtasks.txt --each 20

A planner of your own (a language model, a behaviour tree, a person) does what this does: it says an
instruction through the socket of `neon-edge run`, and goes on when it has reason to. Here the
reason is the clock; `finished` is the function to replace. Python only, nothing of a robot's.

It ends where an instruction is refused, another caller's takes its place, or the robot makes no
features under it for `--patience` seconds.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from neon_edge.clock import MonotonicClock
from neon_edge.errors import DeviceMissing, NeonEdgeError, UsageWrong
from neon_edge.runtime.requests import Request, ask, find_socket

POLL_NS = 200_000_000
Told = dict[str, str | int | float | None]


def told(robot: Path, request: Request) -> Told:
    """What the robot answers. Raises `UsageWrong` with its reason where it refuses."""
    reply = ask(robot, request)
    if not reply.done:
        raise UsageWrong(reply.wrong, reply.facts, reply.fix)
    return reply.told


def until_acted_on(robot: Path, said: Told, clock: MonotonicClock, patience_ns: int) -> None:
    """Wait for features that were made under what was said: from then on heads follow it.

    Raises `UsageWrong` where another instruction took its place, `DeviceMissing` where no such
    features come.
    """
    until_ns = clock.now_ns() + patience_ns
    while True:
        status = told(robot, Request("status"))
        if status["instruction_id"] != said["instruction_id"]:
            raise UsageWrong(
                "another caller gave the robot an instruction",
                f"{status['instruction']!r} in place of {said['instruction']!r}",
                "let one planner speak to it at a time",
            )
        if status["features_instruction_id"] == said["instruction_id"]:
            return
        if clock.now_ns() >= until_ns:
            raise DeviceMissing(
                "the robot makes no features under the instruction",
                f"waited {patience_ns / 1e9:g} s for {said['instruction']!r}: {status['status']}",
                "is its camera there, and its backbone alive? neon-edge status",
            )
        clock.sleep_until_ns(clock.now_ns() + POLL_NS)


def finished(begun_ns: int, now_ns: int, each_ns: int) -> bool:
    """Whether the sub-task is done. Replace it by what your robot can see or measure."""
    return now_ns - begun_ns >= each_ns


def walk_through(lines: list[str], robot: Path, each_ns: int, patience_ns: int) -> None:
    """One line after the other."""
    clock = MonotonicClock()
    for instruction in lines:
        said = told(robot, Request("say", instruction))
        until_acted_on(robot, said, clock, patience_ns)
        print(f"{said['instruction_id']}  {instruction}", flush=True)
        begun_ns = clock.now_ns()
        while not finished(begun_ns, clock.now_ns(), each_ns):
            clock.sleep_until_ns(clock.now_ns() + POLL_NS)


def main() -> int:
    """Parse the command line and walk."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("subtasks", type=Path, help="a file with one instruction a line")
    parser.add_argument("--each", type=float, default=20.0, help="seconds a sub-task")
    parser.add_argument(
        "--patience", type=float, default=30.0, help="seconds until the robot acts on a sub-task"
    )
    parser.add_argument("--socket", default="", help="which robot; default: the only one that runs")
    options = parser.parse_args()
    text = options.subtasks.read_text(encoding="utf-8")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    each_ns, patience_ns = (round(s * 1e9) for s in (options.each, options.patience))
    try:
        walk_through(lines, find_socket(options.socket), each_ns, patience_ns)
    except NeonEdgeError as failure:
        print(failure, file=sys.stderr)
        return failure.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
