"""`neon-edge say`: a new instruction for a robot that runs."""

from __future__ import annotations

import argparse
import sys

import msgspec

from neon_edge.errors import UsageWrong
from neon_edge.runtime.requests import Request, ask, find_socket


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's flags."""
    parser.add_argument("instruction", help="words for the backbone, from its next pass on")
    parser.add_argument("--socket", default="", help="which robot; default: the only one that runs")
    parser.add_argument("--json", action="store_true", help="the reply on stdout")


def main(options: argparse.Namespace) -> int:
    """Say it; exit 2 with the numbers where the backbone cannot take it."""
    reply = ask(find_socket(options.socket), Request("say", options.instruction))
    if options.json:
        sys.stdout.buffer.write(msgspec.json.encode(reply) + b"\n")
    if not reply.done:
        raise UsageWrong(reply.wrong, reply.facts, reply.fix)
    print(f"the next backbone pass uses it; id {reply.told['instruction_id']}", file=sys.stderr)
    return 0
