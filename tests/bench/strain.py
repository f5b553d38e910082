"""Whose fault a missed tick is: ours, the scheduler's, or the machine's that this one runs on."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np

from neon_edge.clock import MonotonicClock
from neon_edge.telemetry.reader import RingReader

LOOK_NS = 1_000_000_000
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_STEAL = 8
"""Column of a CPU's line in /proc/stat: ticks in which the host ran somebody else."""


def rt_runtime_share() -> float:
    """Of each second, what real-time tasks may take of a core before they are throttled; 1: all."""
    place = Path("/proc/sys/kernel")
    runtime = int((place / "sched_rt_runtime_us").read_text())
    period = int((place / "sched_rt_period_us").read_text())
    return 1.0 if runtime < 0 else runtime / period


def stolen_s() -> float:
    """Seconds that the host has kept from all cores so far."""
    lines = Path("/proc/stat").read_text().splitlines()
    first = lines[0].split()
    return int(first[_STEAL]) * TICK_S


def scheduled_s(pid: int) -> tuple[float, float]:
    """Seconds that a process ran, and that it was runnable and did not run."""
    ran, waited, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
    return int(ran) / 1e9, int(waited) / 1e9


class Strain(threading.Thread):
    """Looks once a second at a run in `directory` and at the machine, until `finish`."""

    def __init__(self, directory: Path, supervisor: int) -> None:
        super().__init__(daemon=True)
        self._directory = directory
        self._pids = _real_time(supervisor)
        self._ended = threading.Event()
        self._ring = RingReader(directory / "ticks.ring", 1 << 20)
        self._stolen_s = stolen_s()
        self._busiest = 0.0
        self._waited_s = 0.0

    def run(self) -> None:
        """Sample."""
        clock = MonotonicClock()
        before = self._ran()
        while not self._ended.is_set():
            at_ns = clock.now_ns()
            clock.sleep_until_ns(at_ns + LOOK_NS)
            self._ring.drain()
            now = self._ran()
            spent = sum(now[pid][0] - before[pid][0] for pid in now if pid in before)
            self._busiest = max(self._busiest, spent / ((clock.now_ns() - at_ns) / 1e9))
            self._waited_s = max([self._waited_s, *(waited for _, waited in now.values())])
            before = now

    def _ran(self) -> dict[int, tuple[float, float]]:
        found = {}
        for pid in self._pids:
            try:
                found[pid] = scheduled_s(pid)
            except (OSError, ValueError):
                continue
        return found

    def finish(self) -> dict[str, Any]:
        """What was seen: misses by kind, the host's theft, and how near throttling was."""
        stolen = stolen_s() - self._stolen_s
        self._ended.set()
        self.join()
        rows = self._ring.rows()
        # Real-time work of control and motors together, as a share of one core: throttling begins
        # where it passes what the kernel allows on the core that both might stand on.
        seen: dict[str, Any] = {
            "stolen_ms": stolen * 1e3,
            "rt_share": self._busiest,
            "rt_allowed": rt_runtime_share(),
            "runnable_ms": self._waited_s * 1e3,
        }
        return seen | misses(rows)


def misses(rows: np.ndarray) -> dict[str, int]:
    """Ticks missed because the one before took too long, and because nobody woke us in time."""
    gaps = np.diff(rows["number"]) - 1
    at = np.flatnonzero(gaps > 0)
    next_due_ns = rows["due_ns"][at] + (np.diff(rows["due_ns"])[at] // (gaps[at] + 1))
    overran = rows["end_ns"][at] > next_due_ns
    return {
        "overran": int(gaps[at][overran].sum()),
        "woken_late": int(gaps[at][~overran].sum()),
    }


def _real_time(supervisor: int) -> list[int]:
    """The supervisor's children that are scheduled in real time."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rpartition(") ")[2].split()[1])
            fifo = os.sched_getscheduler(int(entry.name)) == os.SCHED_FIFO
        except OSError:
            continue
        if parent == supervisor and fifo:
            found.append(int(entry.name))
    return found
