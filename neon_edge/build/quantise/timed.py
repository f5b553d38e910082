"""How long a pass of each candidate takes, in a process that is started as a robot's is."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from neon_edge.build.apart import apart
from neon_edge.build.quantise.passes import open_pass
from neon_edge.clock import MonotonicClock
from neon_edge.engine.manifest import read_manifest
from neon_edge.engine.plan import open_engine
from neon_edge.errors import PlanUnfit

TURNS, PASSES = 3, 5
_WARM_UP = 2


def timed(plans: dict[str, Path], threads: int) -> dict[str, float]:
    """Median ms of a whole pass of each.

    Raises what opening them raises, or `PlanUnfit` where they take their process with them.
    """
    return apart(partial(in_turns, plans, threads), partial(_died, tuple(plans)))


def in_turns(plans: dict[str, Path], threads: int) -> dict[str, float]:
    """`timed`, here: in `TURNS`, so that the machine's moods fall on all plans.

    One is open at a time: on a device they share the memory that is meant for one of them.
    """
    spent: dict[str, list[float]] = {name: [] for name in plans}
    for _ in range(TURNS):
        for name, directory in plans.items():
            spent[name] += _passes(directory, threads)
    return {name: float(np.median(times)) for name, times in spent.items()}


def _passes(directory: Path, threads: int) -> list[float]:
    """Ms of each pass of one turn, the first few aside."""
    clock = MonotonicClock()
    infer, close = opened(directory, threads)
    spent = []
    for _ in range(_WARM_UP + PASSES):
        began = clock.now_ns()
        infer()
        spent.append((clock.now_ns() - began) / 1e6)
    close()
    return spent[_WARM_UP:]


def opened(directory: Path, threads: int) -> tuple[Callable[[], None], Callable[[], None]]:
    """A pass of the backbone whose plans are in `directory`, and how to close it."""
    manifest = read_manifest(directory)
    engines = [
        open_engine(directory, part, manifest.machine, threads) for part in manifest.backbone.parts
    ]
    return open_pass(manifest.backbone, directory, engines, manifest.verification.instruction)


def _died(names: tuple[str, ...], code: int | None) -> PlanUnfit:
    return PlanUnfit(
        f"timing the plans {', '.join(names)} ended the process that did it",
        f"exit code {code}" + (", as where memory is short" if code == -signal.SIGKILL else ""),
        "free memory, or build one precision alone",
    )
