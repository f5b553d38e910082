"""`neon-edge robot from-urdf FILE`: the beginning of a robot file, on stdout."""

from __future__ import annotations

import argparse
from pathlib import Path

from neon_edge.config.from_urdf import MOTORS, robot_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's flags."""
    parser.add_argument("action", choices=["from-urdf"], help="URDF or MJCF, told apart by itself")
    parser.add_argument("file", type=Path)
    parser.add_argument("--family", choices=MOTORS, default="damiao")
    parser.add_argument("--channel", default="can0")
    parser.add_argument("--engines", default="qwen_omni_tiny")


def main(options: argparse.Namespace) -> int:
    """Print the file."""
    print(robot_text(options.file, options.family, options.channel, options.engines), end="")
    return 0
