"""Steps of a build: wall time, CPU time, peak memory, and what drawing numbers took of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch

from neon_edge.build.ledger import Files, Step
from neon_edge.build.weights import RandomWeights
from neon_edge.clock import MonotonicClock

GIB = 2**30
Result = TypeVar("Result")


class Measured:
    """Steps that are timed, and forgotten but for their figures. Also told of a build's steps."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []
        self._clock = MonotonicClock()
        self._running: _Running | None = None

    def __call__(self, text: str) -> None:
        """What a build does next."""
        print(text, file=sys.stderr)
        if isinstance(text, Step) or text == "verify":
            self.end()
            self._running = _Running(str(text), self._clock.now_ns(), cpu_seconds(), drawn_ns())
            reset_peak()

    def end(self) -> None:
        """The step that was told of last has ended."""
        ran, self._running = self._running, None
        if ran is not None:
            took, cpu = self._clock.now_ns() - ran.begun_ns, cpu_seconds() - ran.cpu
            self.note(
                ran.name, took, peak_bytes(), cpu=cpu, drawn=(drawn_ns() - ran.drawn_ns) / 1e9
            )

    def step(
        self,
        name: str,
        kind: type[Result],
        make: Callable[[], Result],
        files: Callable[[Result], Files],
    ) -> Result:
        """Run and time one."""
        self(Step(name, 1, 1))
        result = make()
        self.end()
        return result

    def note(self, name: str, took_ns: int, peak: int, **more: object) -> None:
        """Keep the figures of one."""
        load = os.getloadavg()[0]
        self.steps.append(
            {"name": name, "s": took_ns / 1e9, "gib": peak / GIB, "load": load, **more}
        )
        print(f"{name:28} {took_ns / 1e9:7.1f} s {peak / GIB:6.2f} GiB", file=sys.stderr)


class _Running(NamedTuple):
    name: str
    begun_ns: int
    cpu: float
    drawn_ns: int


_drawn_ns = [0]


def drawn_ns() -> int:
    """What drawing `random:SEED` has taken so far, once `count_drawing` was called."""
    return _drawn_ns[0]


def count_drawing() -> None:
    """Time every tensor that is drawn."""
    plain, clock = RandomWeights.tensor, MonotonicClock()

    def timed(weights: RandomWeights, name: str) -> torch.Tensor:
        begun = clock.now_ns()
        value = plain(weights, name)
        _drawn_ns[0] += clock.now_ns() - begun
        return value

    RandomWeights.tensor = timed  # type: ignore[method-assign]


def cpu_seconds() -> float:
    """Of this process and of the children that have ended."""
    return sum(os.times()[:4])


def reset_peak() -> None:
    """Forget the high-water mark of this process (Linux, proc(5): clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int:
    """The high-water mark of this process."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if "VmHWM" in line)
