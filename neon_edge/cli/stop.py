"""`neon-edge stop`: press the software e-stop of a running robot, or end its run as declared."""

from __future__ import annotations

import argparse
import sys

from neon_edge.cli import arm


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
        return arm.tell("stop", options)
    told = arm.asked("end", options)
    print(f"the run ends; its robot file says how: {told['ends']}", file=sys.stderr)
    return 0
