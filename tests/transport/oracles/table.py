"""Prints frames compared by family: `python -m tests.transport.oracles.table [COUNT] [SEED]`.

Each family's COUNT is compared in batches with seeds of their own; a batch ends at its first
difference, which is printed and counted.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from typing import NamedTuple

BATCH = 100


class Oracle(NamedTuple):
    """The distribution that a family is compared with, and how far two equal values may lie."""

    distribution: str
    tolerance: str


ORACLES = {
    "damiao": Oracle("damiao-motor", "±1 LSB: × before ÷ moves a truncated bit"),
    "dynamixel": Oracle("dynamixel-sdk", "exact"),
    "feetech": Oracle("ftservo-python-sdk", "exact"),
    "robstride": Oracle("robstride-dynamics", "1 step: it scales by 7FFF a side"),
    "odrive": Oracle("cantools", "exact; a goal's float32 ±1 LSB"),
    "moteus": Oracle("moteus", "1 step: it truncates, we round"),
    "cia402": Oracle("canopen", "exact"),
    "unitree": Oracle("crccheck", "exact; heard values 1 step"),
}


class Compared(NamedTuple):
    """Frames compared, batches that ended early, and what the first of those said."""

    frames: int
    differences: int
    first: str


def compare(family: str, count: int, seed: int) -> Compared:
    """At least `count` frames, unless batches end early."""
    module = importlib.import_module(f"tests.transport.oracles.{family}")
    frames, wrong = 0, []
    for batch in range(-(-count // BATCH)):
        try:
            frames += module.compare(BATCH, seed + batch)
        except AssertionError as failure:
            wrong.append(f"seed {seed + batch}: {failure or 'see its assertion'}")
    return Compared(frames, len(wrong), wrong[0] if wrong else "")


def main(count: int = 5000, seed: int = 1) -> int:
    """Every family's row; 1 where anything differed."""
    print(
        f"{'family':<11}{'oracle':<27}{'frames':>7}{'differences':>12}  two values are equal within"
    )
    total = 0
    for family, (distribution, tolerance) in ORACLES.items():
        seen = compare(family, count, seed)
        oracle = f"{distribution} {importlib.metadata.version(distribution)}"
        print(f"{family:<11}{oracle:<27}{seen.frames:>7}{seen.differences:>12}  {tolerance}")
        if seen.first:
            print(f"  {seen.first}")
        total += seen.differences
    return int(total > 0)


if __name__ == "__main__":
    raise SystemExit(main(*map(int, sys.argv[1:])))
