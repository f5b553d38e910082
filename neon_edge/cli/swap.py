"""`neon-edge swap`: another checkpoint's head for a robot that runs; its backbone goes on."""

from __future__ import annotations

import argparse
import sys

import msgspec

from neon_edge.errors import PlanUnfit
from neon_edge.runtime.plans import find_plans
from neon_edge.runtime.requests import Request, ask, find_socket
from neon_edge.runtime.swapping import SwapWish


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's flags."""
    parser.add_argument("plans", help="a built recipe's name, or a directory of plans")
    parser.add_argument("--head", default="", help="which head; default: the only one")
    parser.add_argument("--ramp", type=float, default=1.0, help="seconds from old to new setpoint")
    parser.add_argument("--socket", default="", help="which robot; default: the only one that runs")
    parser.add_argument("--json", action="store_true", help="the reply on stdout")


def main(options: argparse.Namespace) -> int:
    """Ask for it; exit 78 with both sides where the robot refuses."""
    place = str(find_plans(options.plans).resolve())
    wish = SwapWish(place, options.head, options.ramp)
    request = Request("swap", msgspec.json.encode(wish).decode())
    reply = ask(find_socket(options.socket), request)
    if options.json:
        sys.stdout.buffer.write(msgspec.json.encode(reply) + b"\n")
    if not reply.done:
        raise PlanUnfit(reply.wrong, reply.facts, reply.fix)
    told = reply.told
    print(f"head {told['head']!r} runs since tick {told['tick']}", file=sys.stderr)
    return 0
