"""`neon-edge robot from-urdf FILE`: a robot file to go through and correct, on stdout."""

from __future__ import annotations

import argparse
from pathlib import Path

from neon_edge.config.from_urdf import MOTORS, robot_text
from neon_edge.config.motor_models import FAMILIES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's flags."""
    parser.add_argument("action", choices=["from-urdf"], help="URDF or MJCF, told apart by itself")
    parser.add_argument("file", type=Path)
    parser.add_argument("--family", choices=MOTORS, default="damiao")
    parser.add_argument("--channel", help="the first bus's: can0 or /dev/ttyUSB0 without it")
    parser.add_argument("--engines", default="qwen_omni_tiny")


def main(options: argparse.Namespace) -> int:
    """Print the file."""
    serial = "serial" in FAMILIES[options.family].bus
    channel = options.channel or ("/dev/ttyUSB0" if serial else "can0")
    print(robot_text(options.file, options.family, channel, options.engines), end="")
    return 0
