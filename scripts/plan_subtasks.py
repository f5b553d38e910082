"""An example planner: walks a running robot through a list of sub-tasks, one instruction each.

    scripts/plan_subtasks.py subtasks.txt --each 20

A planner of your own (a language model, a behaviour tree, a person) does what this does: it says an
instruction through the socket of `neon-edge run`, and goes on when it has reason to. Here the
reason is the clock; `finished` is the function to replace. Python only, nothing of a robot's.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from neon_edge.clock import MonotonicClock
from neon_edge.runtime.requests import Request, ask, find_socket

POLL_NS = 200_000_000


def say(robot: Path, instruction: str) -> str:
    """Give an instruction; returns its id, or leaves with the numbers where it is refused."""
    reply = ask(robot, Request("say", instruction))
    if not reply.done:
        sys.exit(f"{reply.wrong}\n  facts  {reply.facts}\n  fix    {reply.fix}")
    return str(reply.told["instruction_id"])


def until_acted_on(robot: Path, instruction_id: str, clock: MonotonicClock) -> None:
    """Wait for features that were made under the instruction: from then on heads follow it."""
    while ask(robot, Request("status")).told["features_instruction_id"] != instruction_id:
        clock.sleep_until_ns(clock.now_ns() + POLL_NS)


def finished(begun_ns: int, now_ns: int, each_ns: int) -> bool:
    """Whether the sub-task is done. Replace it by what your robot can see or measure."""
    return now_ns - begun_ns >= each_ns


def main() -> None:
    """One line of the file after the other."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("subtasks", type=Path, help="a file with one instruction a line")
    parser.add_argument("--each", type=float, default=20.0, help="seconds a sub-task")
    parser.add_argument("--socket", default="", help="which robot; default: the only one that runs")
    options = parser.parse_args()
    clock = MonotonicClock()
    robot = find_socket(options.socket)
    lines = options.subtasks.read_text(encoding="utf-8").splitlines()
    for instruction in [line.strip() for line in lines if line.strip()]:
        instruction_id = say(robot, instruction)
        until_acted_on(robot, instruction_id, clock)
        print(f"{instruction_id}  {instruction}", flush=True)
        begun_ns = clock.now_ns()
        while not finished(begun_ns, clock.now_ns(), round(options.each * 1e9)):
            clock.sleep_until_ns(clock.now_ns() + POLL_NS)


if __name__ == "__main__":
    main()
