"""Everything that `profile` sees of a run: every row of both rings, and two processes beside it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import numpy as np

from neon_edge.engine.manifest import Manifest
from neon_edge.heads.strategy import ONE_ROW
from neon_edge.profile.beside import BesideSpec, running
from neon_edge.profile.placements import MAX_RATE_HZ, Candidate, TrialRing, candidates
from neon_edge.profile.probe import WakeRing
from neon_edge.runtime.spec import RunSpec
from neon_edge.telemetry.mapped import Rows, row_dtype
from neon_edge.telemetry.reader import RingReader
from neon_edge.telemetry.ring import PassRing, TickRing

DRAIN_S = 0.25
PROBE_PHASE = 0.5
PLACEMENTS_PHASE = 0.75

Beside = Callable[[RunSpec, Manifest], AbstractContextManager[None]]
"""What happens beside a run: entered when its rings exist, left when it is over."""


@contextmanager
def alone(spec: RunSpec, manifest: Manifest) -> Iterator[None]:
    """Nothing beside it."""
    yield


class Observed:
    """Rows of one run, complete once it is over: ticks, passes, wake-ups of the probe, trials."""

    def __init__(self) -> None:
        self.ticks: Rows = np.zeros(0, row_dtype(TickRing.FIELDS))
        self.passes: Rows = np.zeros(0, row_dtype(PassRing.FIELDS))
        self.wakes: Rows = np.zeros(0, row_dtype(WakeRing.FIELDS))
        self.trials: Rows = np.zeros(0, row_dtype(TrialRing.FIELDS))
        self.placements: list[Candidate] = []
        self.joints: list[str] = []
        self.sensors: list[str] = []
        self.cameras: list[str] = []
        self.microphone = ""

    @contextmanager
    def beside(self, spec: RunSpec, manifest: Manifest) -> Iterator[None]:
        """Observe the run that happens in this block."""
        directory = Path(spec.directory)
        wakes, trials = directory / "wakes.ring", directory / "trials.ring"
        WakeRing.create(wakes)
        TrialRing.create(trials)
        self.placements = candidates(Path(spec.plans), manifest)
        robot = spec.robot
        self.joints, self.cameras = robot.joint_names, [camera.name for camera in robot.cameras]
        self.sensors = [sensor.name for sensor in robot.live_sensors]
        self.microphone = robot.microphone.name if robot.microphone else ""
        rate_hz = robot.rate_hz
        probe = BesideSpec(rate_hz, str(wakes), PROBE_PHASE, str(spec.ticks))
        plans = [found.plans for found in self.placements if found.plans]
        one_row = robot.head_choices[0].strategy == ONE_ROW
        heads = BesideSpec(rate_hz, str(trials), PLACEMENTS_PHASE, str(spec.ticks), plans, one_row)
        readers = {
            "ticks": RingReader(spec.ticks),
            "passes": RingReader(spec.passes),
            "wakes": RingReader(wakes),
            "trials": RingReader(trials),
        }
        with ExitStack() as opened:
            opened.callback(self._keep, readers)
            opened.enter_context(_drained(list(readers.values())))
            opened.enter_context(running("neon_edge.profile.probe", probe, directory))
            if plans and rate_hz <= MAX_RATE_HZ:
                opened.enter_context(running("neon_edge.profile.placements", heads, directory))
            yield

    def _keep(self, readers: dict[str, RingReader]) -> None:
        for name, reader in readers.items():
            reader.drain()
            setattr(self, name, reader.rows().copy())
            reader.close()


@contextmanager
def _drained(readers: list[RingReader]) -> Iterator[None]:
    """Empty the rings several times a second: the ticks' holds 4 s at 1000 Hz."""
    over = threading.Event()

    def drain() -> None:
        while not over.wait(DRAIN_S):
            for reader in readers:
                reader.drain()

    thread = threading.Thread(target=drain, name="drain", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
