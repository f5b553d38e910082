"""A process that wakes beside the control loop: same period, priority and cores, another phase.

Two processes of one FIFO priority never preempt each other, so one that woke at the control loop's
own instant would measure the loop, and delay it. These wake between its ticks.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from neon_edge.clock import Clock
from neon_edge.engine.started import SINGLE_THREADED
from neon_edge.runtime.child import Stop, run_child
from neon_edge.telemetry.mapped import writer_pid
from neon_edge.telemetry.reader import RingReader

POLL_NS = 10_000_000
STOP_S = 5.0
_PR_SET_PDEATHSIG = 1


class BesideSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """What such a process is told, in one JSON file."""

    rate_hz: float
    ring: str
    """Where its rows go."""
    phase: float = 0.5
    """Of a period, behind the control loop's due times."""
    ticks: str = ""
    """The control loop's ring; empty: no loop to keep clear of."""
    plans: list[str] = []
    """Directories of plans to run, for processes that run any."""
    one_row: bool = False
    """Whether the robot's heads look at one row of a chunk, so that plans need make no other."""
    parent: int = 0
    """The process that it must not outlive."""

    @property
    def period_ns(self) -> int:
        """Between two wake-ups."""
        return round(1e9 / self.rate_hz)


class WakeUp(NamedTuple):
    """One wake-up, as cyclictest counts it: late by `start_ns - due_ns`, whole periods included."""

    due_ns: int
    start_ns: int


def run_beside(name: str, body: Callable[[BesideSpec, Stop], None]) -> int:
    """Such a process's whole life: the JSON file that the command line names, until told to stop.

    At real-time priority nobody may be forgotten, so the kernel ends it with its parent.
    """
    spec = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=BesideSpec)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != spec.parent:
        return 0
    return run_child(name, lambda stop: body(spec, stop))


def origin(spec: BesideSpec, clock: Clock, stop: Stop) -> int | None:
    """Wait for the control loop's first tick, take over its cores, return when to wake first.

    None when told to stop before.
    """
    if not spec.ticks:
        return clock.now_ns() + spec.period_ns
    reader = RingReader(Path(spec.ticks))
    try:
        while not reader.drain():
            if stop.requested:
                return None
            clock.sleep_until_ns(clock.now_ns() + POLL_NS)
        os.sched_setaffinity(0, os.sched_getaffinity(writer_pid(Path(spec.ticks))))
        due_ns = int(reader.rows()["due_ns"][0])
    finally:
        reader.close()
    passed = (clock.now_ns() - due_ns) // spec.period_ns + 2
    return due_ns + round((passed + spec.phase) * spec.period_ns)


def wake_ups(origin_ns: int, period_ns: int, clock: Clock, stop: Stop) -> Iterator[WakeUp]:
    """Wake on the grid until told to stop; periods slept through are skipped, as in the loop."""
    due_ns = origin_ns
    while not stop.requested:
        clock.sleep_until_ns(due_ns)
        yield WakeUp(due_ns, clock.now_ns())
        due_ns += max(1, -(-(clock.now_ns() - due_ns) // period_ns)) * period_ns


@contextmanager
def running(module: str, spec: BesideSpec, directory: Path) -> Iterator[None]:
    """Run `module` with `spec` for as long as the block; its ring must exist already."""
    path = directory / f"{module.rpartition('.')[2]}.json"
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(spec, parent=os.getpid())))
    child = subprocess.Popen(
        [sys.executable, "-m", module, str(path)],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        env=os.environ | SINGLE_THREADED,
    )
    try:
        yield
    finally:
        child.terminate()
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
