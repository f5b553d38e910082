"""A run of the whole product while it lives: its processes by name, its end and what it said."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np
import numpy.typing as npt

from neon_edge.clock import MonotonicClock
from neon_edge.config import RobotConfig
from neon_edge.runtime.rundir import sweep
from neon_edge.telemetry.reader import RingReader
from neon_edge.types import Rung
from tests.conftest import ROOT

CLOCK = MonotonicClock()


def wait_s(seconds: float) -> None:
    CLOCK.sleep_until_ns(CLOCK.now_ns() + round(seconds * 1e9))


def write_robot(path: Path, robot: RobotConfig) -> Path:
    """A robot file that says `robot`. TOML has no word for what is absent."""
    path.write_bytes(msgspec.toml.encode(_present(msgspec.to_builtins(robot))))
    return path


def _present(told: Any) -> Any:
    if isinstance(told, dict):
        return {key: _present(value) for key, value in told.items() if value is not None}
    return [_present(one) for one in told] if isinstance(told, list | tuple) else told


class Live:
    """`neon-edge run --robot sim`, and its children by name."""

    started: ClassVar[list[Live]] = []
    """Every run of the test that runs now; see conftest.py."""

    def __init__(self, plans: Path, *arguments: str, robot: str = "sim") -> None:
        Live.started.append(self)
        self.run = subprocess.Popen(
            [sys.executable, "-m", "neon_edge", "run", "--robot", robot, "--engines", str(plans),
             "--json", *arguments],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def destroy(self) -> None:
        """Kill it and every child. They hold the pipes that `communicate` waits for."""
        if self.run.poll() is None:
            self.run.kill()
        for name in ("runtime.control", "runtime.backbone", "sim.main"):
            pattern = f"neon_edge.{name} /dev/shm/neon-edge-{self.run.pid}-"
            subprocess.run(["pkill", "-9", "-f", pattern], check=False)
        self.run.communicate()
        sweep()

    def child(self, name: str, timeout_s: float = 30) -> int:
        """The process id of the child whose command line holds `name`."""
        until = CLOCK.now_ns() + round(timeout_s * 1e9)
        while CLOCK.now_ns() < until:
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit() and self._is(entry, name):
                    return int(entry.name)
            wait_s(0.05)
        raise AssertionError(f"no child {name}")

    def _is(self, entry: Path, name: str) -> bool:
        try:
            line = (entry / "cmdline").read_bytes().decode()
            status = (entry / "status").read_text()
        except OSError:
            return False
        return name in line and f"PPid:\t{self.run.pid}\n" in status

    def until_ticking(self) -> None:
        """Return once the control process has written that it runs."""
        self.child("neon_edge.runtime.control")
        until = CLOCK.now_ns() + 90 * 10**9
        while CLOCK.now_ns() < until and self.run.poll() is None:
            for note in Path("/dev/shm").glob(f"neon-edge-{self.run.pid}-*/control.json"):
                spec = note.with_name("run.json")
                if '"running"' in note.read_text() and spec.exists():
                    return
            wait_s(0.05)
        # One that lives on would never let go of its pipes.
        ended = self.run.poll() is not None
        raise AssertionError(self.run.communicate()[1] if ended else "90 s, and it does not tick")

    @property
    def directory(self) -> Path:
        """The run's own directory."""
        return next(Path("/dev/shm").glob(f"neon-edge-{self.run.pid}-*"))

    def rows(self, keep: int = 4000) -> npt.NDArray[np.void]:
        """The ticks that are still in the ring."""
        reader = RingReader(self.directory / "ticks.ring", keep)
        reader.drain()
        rows = reader.rows().copy()
        reader.close()
        return rows

    def until(self, rung: Rung, timeout_s: float = 20) -> np.void:
        """The newest tick, once it stands on `rung`."""
        until = CLOCK.now_ns() + round(timeout_s * 1e9)
        while CLOCK.now_ns() < until:
            rows = self.rows()
            if len(rows) and rows[-1]["rung"] == rung:
                return rows[-1]
            wait_s(0.05)
        raise AssertionError(f"never on {rung.name}; now {Rung(int(self.rows()[-1]['rung'])).name}")

    def hurt(self, name: str, number: int) -> None:
        """Send a signal to the child that `name` is in the command line of."""
        os.kill(self.child(name), number)

    def end(self, timeout: float = 60) -> tuple[int, str, str]:
        out, err = self.run.communicate(timeout=timeout)
        return self.run.returncode, out, err
