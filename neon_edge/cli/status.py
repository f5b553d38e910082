"""`neon-edge status`: how a robot that runs is doing."""

from __future__ import annotations

import argparse
import sys

import msgspec

from neon_edge.errors import DeviceMissing
from neon_edge.runtime.requests import Request, ask, find_socket


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's flags."""
    parser.add_argument("--socket", default="", help="which robot; default: the only one that runs")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")


def main(options: argparse.Namespace) -> int:
    """Ask and print."""
    reply = ask(find_socket(options.socket), Request("status"))
    if not reply.done:
        raise DeviceMissing(reply.wrong, reply.facts, reply.fix)
    if options.json:
        sys.stdout.buffer.write(msgspec.json.encode(reply.told) + b"\n")
        return 0
    width = max(map(len, reply.told))
    for name, value in reply.told.items():
        # What has several lines has them below one another.
        lines = str(value).replace("\n", "\n" + " " * (width + 2))
        print(f"{name.replace('_', ' '):{width}}  {lines}")
    return 0
