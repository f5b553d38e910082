"""The supervisor: starts the two children, restarts a dead backbone, drains the rings, reports.

It never arms anything and is never waited for: the control process goes on without it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from neon_edge.clock import Clock, MonotonicClock
from neon_edge.config import RobotConfig
from neon_edge.engine.manifest import Manifest
from neon_edge.errors import ConfigWrong, DeviceMissing, UsageWrong
from neon_edge.features.slot import create_slot
from neon_edge.runtime import report as reports
from neon_edge.runtime.board import board
from neon_edge.runtime.health import create_stop_flag
from neon_edge.runtime.plans import admit, find_plans
from neon_edge.runtime.report import RunReport
from neon_edge.runtime.spec import RunSpec, read_note, write_spec
from neon_edge.runtime.systemd import Service
from neon_edge.telemetry.ring import PassRing, RingReader, TickRing

POLL_NS = 100_000_000
SINGLE_THREADED = {
    name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
}
"""NumPy's own threads spin while they wait, on cores that the tick and the engines need."""
RESTART_AFTER_NS = 500_000_000
RESTARTS = 10
STOP_AFTER_NS = 5_000_000_000
HOPELESS = (UsageWrong.exit_code, DeviceMissing.exit_code, ConfigWrong.exit_code)
"""Exit codes that a restart does not mend."""


class ChildFailed(Exception):
    """A child that the run needs ended with this exit code and has told why on stderr."""

    def __init__(self, name: str, code: int) -> None:
        super().__init__(f"the {name} process ended with exit code {code}")
        self.code = code


class RunDirectory(AbstractContextManager[Path]):
    """A directory in tmpfs for one run's slot, rings and sockets, gone when the run is."""

    def __enter__(self) -> Path:
        shared = Path("/dev/shm")
        place = shared if shared.is_dir() else None
        self._path = Path(tempfile.mkdtemp(prefix=f"neon-edge-{os.getpid()}-", dir=place))
        return self._path

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._path, ignore_errors=True)


class Supervisor:
    """One run of one robot. `on_status` is called about ten times a second from `run`."""

    def __init__(self, spec: RunSpec, manifest: Manifest, on_status: Callable[[str], None]) -> None:
        self._spec = spec
        self._manifest = manifest
        self._on_status = on_status
        self._clock: Clock = MonotonicClock()
        self._stopping = False
        self.restarts = 0
        self.warnings: list[str] = []
        create_stop_flag(spec.stop_flag)
        create_slot(spec.slot, manifest.backbone.pooled_width)
        TickRing.create(spec.ticks)
        PassRing.create(spec.passes)
        self._ticks = RingReader(spec.ticks)
        self._passes = RingReader(spec.passes)
        self._path = write_spec(spec)
        self._service = Service(self._clock)

    def run(self) -> RunReport:
        """Both children until the control process ends. Raises `ChildFailed` where it fails."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        control = self._start("control")
        backbone = self._start("backbone")
        died_ns = 0
        asked = False
        try:
            while control.poll() is None:
                if self._stopping and not asked:
                    self._service.stopping()
                    # Once: a second signal would meet an interpreter that is already leaving.
                    control.terminate()
                    asked = True
                if backbone.returncode in HOPELESS and len(self._ticks.rows()) == 0:
                    raise ChildFailed("backbone", backbone.returncode)
                if backbone.poll() is not None and not self._stopping:
                    died_ns = died_ns or self._backbone_died(backbone.returncode)
                    if self._may_restart(died_ns):
                        backbone, died_ns = self._start("backbone"), 0
                        self.restarts += 1
                self._drain()
                self._look(self._status())
                self._clock.sleep_until_ns(self._clock.now_ns() + POLL_NS)
        finally:
            self._service.stopping()
            for child in (control, backbone):
                self._end(child)
            self._drain()
            self._service.close()
        # Asked to stop before it could listen, it had nothing to stop.
        unheard = asked and control.returncode == -signal.SIGTERM
        if control.returncode != 0 and not unheard:
            raise ChildFailed("control", control.returncode)
        return self.report()

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", f"neon_edge.runtime.{name}", str(self._path)],
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            env=os.environ | SINGLE_THREADED,
        )

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _backbone_died(self, code: int) -> int:
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        self.warnings.append(f"the backbone process died ({how}); the robot holds meanwhile")
        return self._clock.now_ns()

    def _may_restart(self, died_ns: int) -> bool:
        # Each restart waits twice as long as the one before, and a dozen deaths are enough.
        wait_ns = RESTART_AFTER_NS << min(self.restarts, 5)
        return self.restarts < RESTARTS and self._clock.now_ns() - died_ns >= wait_ns

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        if child.poll() is None:
            child.terminate()
        try:
            child.wait(STOP_AFTER_NS / 1e9)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def _drain(self) -> None:
        self._ticks.drain()
        self._passes.drain()

    def _look(self, status: str) -> None:
        note = read_note(self._spec.control_log)
        self._service.look(note.state if note else "", self._ticks.seen, status)
        self._on_status(status)

    def _status(self) -> str:
        recent = self._ticks.newest(250)
        if len(recent) == 0:
            return "starting"
        late = np.percentile(recent["start_ns"] - recent["due_ns"], 99) / 1e6
        age = (int(recent["start_ns"][-1]) - int(recent["features_ns"][-1])) / 1e6
        seen = "none yet" if recent["features_ns"][-1] == 0 else f"{age:.0f} ms old"
        return (
            f"{reports.rate(recent):.1f} Hz · lateness p99 {late:.2f} ms · features {seen} · "
            f"{reports.missed(self._ticks.rows())} missed"
        )

    @property
    def enabling(self) -> int:
        """Joint commands that enabling the motors took."""
        note = read_note(self._spec.control_log)
        return note.enabling if note else 0

    def report(self) -> RunReport:
        """The run so far."""
        ticks, passes = self._ticks.rows(), self._passes.rows()
        note = read_note(self._spec.control_log)
        return RunReport(
            robot=self._spec.robot.name,
            board=board(self._manifest),
            real_time=note.real_time if note else [],
            ticks=len(ticks),
            missed=reports.missed(ticks),
            clipped=int((ticks["clipped"] > 0).sum()),
            stale=reports.held(ticks),
            scaled=reports.scaled(ticks),
            causes=reports.causes(ticks),
            rate_hz=reports.rate(ticks),
            lateness_us=reports.lateness(ticks),
            stages_us=reports.stages(ticks, passes),
            feature_age_ms=reports.feature_age(ticks),
            joint_age_ms=reports.joint_age(ticks),
            backbone_passes=len(passes),
            features_hz=reports.features_rate(passes),
            backbone_restarts=self.restarts,
            joint_commands_sent=sum(note.sent) - note.enabling if note else 0,
            joint_commands_received=None,
            rows_lost=self._ticks.lost + self._passes.lost,
            features_refused={
                "torn": note.torn if note else 0,
                "foreign": note.foreign if note else 0,
                "not_finite": note.not_finite if note else 0,
            },
            warnings=self.warnings + (note.warnings if note else []),
        )


def prepare(
    robot: RobotConfig, directory: Path, seconds: float | None, threads: int
) -> tuple[RunSpec, Manifest]:
    """Find and admit the robot's plans before any process starts. Raises `ConfigWrong`."""
    plans = find_plans(robot.engines)
    manifest = admit(plans, robot)
    spec = RunSpec(
        robot=robot,
        plans=str(plans),
        directory=str(directory),
        seconds=seconds,
        backbone_threads=threads,
    )
    return spec, manifest
