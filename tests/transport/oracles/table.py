"""Prints frames compared by family: `python -m tests.transport.oracles.table [COUNT] [SEED]`."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys

ORACLES = {
    "damiao": "damiao-motor",
    "dynamixel": "dynamixel-sdk",
    "feetech": "ftservo-python-sdk",
    "robstride": "robstride-dynamics",
    "odrive": "cantools",
    "moteus": "moteus",
    "cia402": "canopen",
    "unitree": "crccheck",
}
"""Family to the distribution that it is compared with."""


def compare(family: str, count: int, seed: int) -> int:
    """Frames compared, all equal. Fails on the first difference."""
    module = importlib.import_module(f"tests.transport.oracles.{family}")
    compared: int = module.compare(count, seed)
    return compared


def main(count: int = 5000, seed: int = 1) -> None:
    """Every family's row."""
    print(f"{'family':<12}{'oracle':<28}{'frames compared':>16}{'differences':>13}")
    for family, distribution in ORACLES.items():
        version = importlib.metadata.version(distribution)
        print(
            f"{family:<12}{distribution + ' ' + version:<28}{compare(family, count, seed):>16}"
            f"{0:>13}"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
