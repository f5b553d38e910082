"""Replies lost on the simulated robot: `python -m tests.bench.bench_loss SECONDS DROP CORRUPT`.

Runs the whole runtime against emulated motors that lose and corrupt replies once it is up, and
samples the motors' true positions. A tick is missed where the loop woke whole periods late or
worked longer than one: beside it runs a process that does nothing but wake, so that the machine's
part can be told from ours. Needs plans for `robots/sim.toml`. The bar: no more ticks missed than
that process missed, and no step or motion beyond what velocity limits allow.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path

import msgspec
import numpy as np

from neon_edge.clock import MonotonicClock
from neon_edge.config import RobotConfig, load_robot
from neon_edge.profile.beside import BesideSpec, running
from neon_edge.profile.probe import WakeRing
from neon_edge.runtime.observed import (
    CAPACITY,
    POOLED_CAPACITY,
    TICKS,
    observed_fields,
    pooled_fields,
)
from neon_edge.runtime.rundir import RunDirectory
from neon_edge.runtime.spec import RunSpec
from neon_edge.runtime.supervisor import Supervisor, prepare
from neon_edge.sim.launch import Simulation, start_sim, with_channels
from neon_edge.telemetry.frames import create_frames
from neon_edge.telemetry.mapped import Rows, create_ring
from neon_edge.telemetry.reader import RingReader
from tests.bench.judged import arguments, judged

FROM_S = 20.0
"""Bring-up asks and gives up after three tries; faults begin when the robot runs."""
SAMPLE_NS = 10_000_000
PUBLISHED_S = 0.01
"""Positions are published every 5 ms, and read within as much."""


class Watcher(threading.Thread):
    """Samples the motors' true positions and empties the rings until it is told to stop."""

    def __init__(self, sim: Simulation, velocity: np.ndarray, rings: list[RingReader]) -> None:
        super().__init__(daemon=True)
        self._sim, self._velocity, self._rings = sim, velocity, rings
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
            if self.samples % 25 == 0:
                for ring in self._rings:
                    ring.drain()


def observed(spec: RunSpec, width: int) -> RingReader:
    """The ring of observations that a recorded run has, and the two that nobody reads here."""
    create_frames(spec.frames)
    create_ring(spec.observed, observed_fields(len(spec.robot.joints)), CAPACITY)
    create_ring(spec.pooled, pooled_fields(width), POOLED_CAPACITY)
    return RingReader(spec.observed)


def steps(rows: Rows, robot: RobotConfig) -> float:
    """The largest step between two commands, as a share of what its joint's velocity allows."""
    allowed = np.array([joint.velocity / robot.rate_hz for joint in robot.joints])
    moved = np.abs(np.diff(rows["command_position"].astype(np.float64), axis=0))
    return float((moved / allowed).max())


def staleness(rows: Rows, robot: RobotConfig) -> dict[str, dict[str, float]]:
    """A joint: share of ticks without a newer state, and how old its state was when they began."""
    ages = (rows["at_ns"][:, None] - rows["received_ns"]) / 1e6
    again = (np.diff(rows["received_ns"], axis=0) == 0).mean(axis=0)
    found = {}
    for k, joint in enumerate(robot.joints):
        p50, p99 = np.percentile(ages[:, k], (50, 99))
        found[joint.name] = {
            "no_answer_share": float(again[k]),
            "age_ms_p50": float(p50),
            "age_ms_p99": float(p99),
            "age_ms_max": float(ages[:, k].max()),
        }
    return found


def told(found: dict[str, dict[str, float]], robot: RobotConfig) -> list[str]:
    """A line a joint."""
    head = f"{'joint':<22}{'family':<12}{'no answer %':>12}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}"
    families = [str(joint.motor.__struct_config__.tag) for joint in robot.joints]
    return ["", head] + [
        f"{name:<22}{family:<12}{100 * row['no_answer_share']:>12.1f}"
        f"{row['age_ms_p50']:>9.1f}{row['age_ms_p99']:>9.1f}{row['age_ms_max']:>9.1f}"
        for family, (name, row) in zip(families, found.items(), strict=True)
    ]


def missed_by_us(missed: int, bare_missed: int) -> int:
    """Ticks missed beyond those that a process which only wakes missed in the same seconds."""
    return max(0, missed - bare_missed)


def main() -> int:
    """Run it, tell what came of it; 1 where a tick of ours was missed or a step was too large."""
    parser = arguments(__doc__)
    parser.add_argument("seconds", nargs="?", type=float, default=300.0)
    parser.add_argument("drop", nargs="?", type=float, default=0.05)
    parser.add_argument("corrupt", nargs="?", type=float, default=0.01)
    options = parser.parse_args()
    seconds, drop, corrupt = options.seconds, options.drop, options.corrupt
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
        spec = msgspec.structs.replace(spec, robot=with_channels(robot, sim.channels), record=True)
        seen = observed(spec, manifest.backbone.pooled_width)
        wakes = Path(spec.directory) / "wakes.ring"
        WakeRing.create(wakes)
        bare = RingReader(wakes)
        watcher = Watcher(sim, np.array([joint.velocity for joint in robot.joints]), [seen, bare])
        supervisor = Supervisor(spec, manifest, lambda _: None)
        probe = BesideSpec(robot.rate_hz, str(wakes), 0.5, str(spec.ticks))
        opened.enter_context(running("neon_edge.profile.probe", probe, directory))
        watcher.start()
        report = supervisor.run()
        watcher.over.set()
        watcher.join()
        seen.drain()
        bare.drain()
        rows = seen.rows()[np.isin(seen.rows()["kind"], TICKS)].copy()
        late_ms = (bare.rows()["start_ns"] - bare.rows()["due_ns"]) / 1e6
    bare_missed = int((late_ms >= 20).sum())
    step, stale = steps(rows, robot), staleness(rows, robot)
    ours = missed_by_us(report.missed, bare_missed)
    table = [
        f"seconds {seconds:g}, drop {drop:g}, corrupt {corrupt:g}, seed 1",
        f"ticks {report.ticks}, missed {report.missed}, stale {report.stale}, "
        f"scaled {report.scaled}, clipped {report.clipped}, causes {report.causes}",
        f"joint commands sent {report.joint_commands_sent}, control restarts "
        f"{report.control_restarts}",
        f"lateness ms p99 {report.lateness_us.p99 / 1e3:.2f}, max "
        f"{report.lateness_us.max / 1e3:.2f}; bare wake-up p99 {np.percentile(late_ms, 99):.2f}, "
        f"max {late_ms.max():.2f}, {bare_missed} of {len(late_ms)} missed",
    ]
    for name in ("read", "write", "tick"):
        spread = report.stages_us[name]
        table.append(
            f"{name:<6} ms p50 {spread.p50 / 1e3:.2f}, p99 {spread.p99 / 1e3:.2f}, "
            f"max {spread.max / 1e3:.2f}"
        )
    table += [
        f"largest commanded step over what velocity limits allow {step:.3f}",
        f"largest motion over what velocity limits allow {watcher.worst_share:.3f} "
        f"({watcher.samples} samples)",
        *told(stale, robot),
    ]
    moved = watcher.worst_share
    missed = [
        what
        for wrong, what in (
            (ours > 0, f"{ours} ticks more than the bare process missed"),
            (not step <= 1, f"a step {step:.2f} times its joint's limit"),
            (not moved <= 1, f"a joint moved {moved:.2f} times its limit"),
        )
        if wrong
    ]
    figures = {
        "ticks": report.ticks,
        "missed": report.missed,
        "bare_missed": bare_missed,
        "causes": report.causes,
        "largest_step": step,
        "largest_motion": moved,
        "joints": stale,
    }
    return judged(figures, table, missed, options.json)


if __name__ == "__main__":
    raise SystemExit(main())
