"""`neon-edge arm`: torque on where a damped or disarmed robot stands, and a ramp from there."""

from __future__ import annotations

import argparse
import sys

from neon_edge.errors import DeviceMissing
from neon_edge.runtime.requests import ASK_S, Request, ask, find_socket


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's flags."""
    parser.add_argument("--socket", default="", help="which robot; default: the only one that runs")


def main(options: argparse.Namespace) -> int:
    """Ask; exit 69 with the reason where the robot refuses."""
    return tell("arm", options)


def tell(word: str, options: argparse.Namespace, patience_s: float = ASK_S) -> int:
    """Say one word to a running robot and print on which rung it stands then."""
    stands = asked(word, options, patience_s)["rung"]
    print(f"the robot stands on {stands}", file=sys.stderr)
    return 0


def asked(
    word: str, options: argparse.Namespace, patience_s: float = ASK_S
) -> dict[str, str | int | float | None]:
    """What a running robot replies to one word. Raises `DeviceMissing` where it refuses."""
    reply = ask(find_socket(options.socket), Request(word), patience_s)
    if not reply.done:
        raise DeviceMissing(reply.wrong, reply.facts, reply.fix)
    return reply.told
