"""`neon-edge stop`: press the software e-stop of a running robot, or end its run as declared."""

from __future__ import annotations

import argparse
import sys

from neon_edge.cli import arm
from neon_edge.clock import MonotonicClock
from neon_edge.errors import DeviceMissing
from neon_edge.runtime import orphans
from neon_edge.types import Rung

PATIENCE_S = 5.0
"""A supervisor that lives has answered by then."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's flags."""
    arm.add_arguments(parser)
    parser.add_argument(
        "--end",
        action="store_true",
        help="end the run instead, with the motion that its robot file declares (stop = ...)",
    )


def main(options: argparse.Namespace) -> int:
    """Press it. No substitute for a button that cuts motor power."""
    if not options.end:
        try:
            return arm.tell("stop", options, PATIENCE_S)
        except DeviceMissing as unheard:
            return _without_supervisor(options, unheard)
    told = arm.asked("end", options)
    print(f"the run ends; its robot file says how: {told['ends']}", file=sys.stderr)
    return 0


def _without_supervisor(options: argparse.Namespace, unheard: DeviceMissing) -> int:
    """A control process goes on without its supervisor, and reads its stop all the same."""
    stands = orphans.stop(orphans.unanswered(options.socket), MonotonicClock())
    for directory, rung in stands.items():
        print(
            f"pressed the stop of {directory}, whose supervisor does not answer\n"
            f"  stands on  {'no rung that can be told' if rung is None else rung.name.lower()}\n"
            f"  to end it  kill {orphans.control_of(directory)}",
            file=sys.stderr,
        )
    if not stands or any(rung is None or rung < Rung.DAMP for rung in stands.values()):
        raise unheard
    return 0
