"""`neon-edge stop`: press the software e-stop of a running robot; it damps until armed."""

from __future__ import annotations

import argparse

from neon_edge.cli.arm import add_arguments, tell

__all__ = ["add_arguments", "main"]


def main(options: argparse.Namespace) -> int:
    """Press it. No substitute for a button that cuts motor power."""
    return tell("stop", options)
