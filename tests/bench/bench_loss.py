"""Replies lost on the simulated robot: `python -m tests.bench.bench_loss SECONDS DROP CORRUPT`.

Runs the whole runtime against emulated motors that lose and corrupt replies once it is up, and
samples the motors' true positions. Prints one line a figure. Needs plans for `robots/sim.toml`.
"""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack

import msgspec
import numpy as np

from neon_edge.clock import MonotonicClock
from neon_edge.config import load_robot
from neon_edge.runtime.rundir import RunDirectory
from neon_edge.runtime.supervisor import Supervisor, prepare
from neon_edge.sim.launch import Simulation, start_sim, with_channels

FROM_S = 20.0
"""Bring-up asks and gives up after three tries; faults begin when the robot runs."""
SAMPLE_NS = 10_000_000
PUBLISHED_S = 0.01
"""Positions are published every 5 ms, and read within as much."""


class Watcher(threading.Thread):
    """Samples the motors' true positions until it is told to stop."""

    def __init__(self, sim: Simulation, velocity: np.ndarray) -> None:
        super().__init__(daemon=True)
        self._sim, self._velocity = sim, velocity
        self.over = threading.Event()
        self.worst_share = 0.0
        self.samples = 0

    def run(self) -> None:
        clock = MonotonicClock()
        before, at_ns = self._sim.positions(), clock.now_ns()
        while not self.over.is_set():
            clock.sleep_until_ns(clock.now_ns() + SAMPLE_NS)
            now, now_ns = self._sim.positions(), clock.now_ns()
            allowed = self._velocity * ((now_ns - at_ns) / 1e9 + PUBLISHED_S)
            self.worst_share = max(self.worst_share, float((np.abs(now - before) / allowed).max()))
            before, at_ns = now, now_ns
            self.samples += 1


def main(seconds: float = 300.0, drop: float = 0.05, corrupt: float = 0.01) -> None:
    """Run it and print what came of it."""
    robot = load_robot("sim")
    faults = (
        f'seed = 1\n[[wire]]\nway = "replies"\ndrop = {drop}\ncorrupt = {corrupt}\n'
        f"from_s = {FROM_S}\n"
    )
    with ExitStack() as opened:
        directory = opened.enter_context(RunDirectory())
        spec, manifest = prepare(robot, directory, seconds + FROM_S, 1)
        sim = start_sim(robot, directory, faults)
        opened.callback(sim.stop)
        spec = msgspec.structs.replace(spec, robot=with_channels(robot, sim.channels))
        watcher = Watcher(sim, np.array([joint.velocity for joint in robot.joints]))
        watcher.start()
        report = Supervisor(spec, manifest, lambda _: None).run()
        watcher.over.set()
        watcher.join()
    print(f"seconds {seconds:g}, drop {drop:g}, corrupt {corrupt:g}, seed 1")
    print(
        f"ticks {report.ticks}, missed {report.missed}, stale {report.stale}, "
        f"clipped {report.clipped}, causes {report.causes}"
    )
    print(f"joint commands sent {report.joint_commands_sent}")
    print(
        f"largest motion over what velocity limits allow {watcher.worst_share:.3f} "
        f"({watcher.samples} samples)"
    )


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
