"""What a tick costs the CPU: ours against a plain loop over python-can and dynamixel_sdk.

    python tests/bench/bench_tick.py [--seconds N] [--rate HZ] [--json]

A robot of 29 joints on five buses, of the two families that the plain loop speaks (Damiao legs and
waist, Dynamixel arms), the same heads plan on both sides. Each loop runs in a
process of its own against motors of its own, one after another in one run:

    ours        the control process's own stages, safety included, replies read a tick later
    batch       LeRobot's sync_read and sync_write: all motors asked, then all replies awaited
    per motor   LeRobot's read and write: every motor asked and awaited by itself

The plain loops have no safety stage and sleep for what is left of the period. CPU time is the
loop's own thread (CLOCK_THREAD_CPUTIME_ID); waiting for replies shows in the wall time only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from neon_edge.clock import MonotonicClock
from neon_edge.config import load_robot
from neon_edge.config.robot import RobotConfig
from neon_edge.features.slot import SlotReader, SlotWriter, create_slot
from neon_edge.heads.strategy import Heads
from neon_edge.runtime.board import board
from neon_edge.runtime.headset import open_heads
from neon_edge.runtime.health import HealthWatch, StopFlag, create_stop_flag
from neon_edge.runtime.loop import Ticker, control_loop
from neon_edge.runtime.plans import admit, find_plans
from neon_edge.runtime.realtime import enter_real_time
from neon_edge.runtime.stages import RobotStages
from neon_edge.safety.filter import SafetyFilter
from neon_edge.sim.launch import start_sim, with_channels
from neon_edge.telemetry.ring import TickRing
from neon_edge.transport.robot import open_robot
from neon_edge.types import Features, JointState
from tests.transport.two_families import two_families

CONTENDERS = ("ours", "batch", "per motor")
PARTS = ("read", "features", "heads", "safety", "write")
FEATURES_EVERY_S = 0.1
WARM_UP_S = 3.5
"""Longer than the ramp at start."""


class Meter:
    """CPU and wall ns of every part of every tick."""

    def __init__(self) -> None:
        self.cpu: list[list[int]] = []
        self.wall: list[int] = []
        self.starts: list[int] = []

    def begin(self) -> None:
        """A tick begins."""
        self.starts.append(time.monotonic_ns())
        self.cpu.append([time.thread_time_ns()])

    def part(self) -> None:
        """A part of it ends."""
        self.cpu[-1].append(time.thread_time_ns())

    def end(self) -> None:
        """It ends."""
        self.wall.append(time.monotonic_ns() - self.starts[-1])


class MeteredStages:
    """Our stages with a stamp of the thread's CPU clock behind each."""

    def __init__(self, stages: RobotStages, meter: Meter, publish: Callable[[], None]) -> None:
        self._stages = stages
        self._meter = meter
        self._publish = publish

    def read(self) -> Any:
        self._meter.begin()
        return self._stamped(self._stages.read())

    def latest(self) -> Any:
        return self._stamped(self._stages.latest())

    def decide(self, *arguments: Any) -> Any:
        return self._stamped(self._stages.decide(*arguments))

    def make_safe(self, *arguments: Any) -> Any:
        return self._stamped(self._stages.make_safe(*arguments))

    def write(self, command: Any) -> Any:
        return self._stamped(self._stages.write(command))

    def record(self, *arguments: Any) -> None:
        self._stages.record(*arguments)
        self._meter.part()
        self._meter.end()
        self._publish()

    def _stamped(self, result: Any) -> Any:
        self._meter.part()
        return result


def run_ours(robot: RobotConfig, heads: Heads, width: int, directory: Path, ticks: int) -> Meter:
    """The control process's own stages and loop."""
    clock, meter = MonotonicClock(), Meter()
    create_slot(directory / "slot", width)
    create_stop_flag(directory / "stop")
    TickRing.create(directory / "ticks")
    random = np.random.default_rng(0)
    every = max(1, round(FEATURES_EVERY_S * robot.rate_hz))
    with (
        SlotWriter(directory / "slot", 1) as writer,
        SlotReader(directory / "slot", 1) as slot,
        TickRing.open_writer(directory / "ticks") as ring,
        open_robot(robot, clock) as body,
    ):

        def publish() -> None:
            if len(meter.wall) % every == 0:
                pooled = random.standard_normal(width).astype(np.float32)
                writer.publish(pooled, clock.now_ns(), clock.now_ns(), 0)

        publish()
        safety = SafetyFilter(robot, heads.driven)
        health = HealthWatch(body.counters, [StopFlag(directory / "stop")], round(robot.rate_hz))
        stages = RobotStages(body, slot, heads, safety, health, ring, clock)
        enter_real_time()
        safety.start(body.enable(), clock.now_ns())
        control_loop(Ticker(robot.rate_hz, clock, ticks), MeteredStages(stages, meter, publish))
        body.disable()
    return meter


def run_plain(robot: RobotConfig, heads: Heads, width: int, batch: bool, ticks: int) -> Meter:
    """Read, ask the policy, write, sleep for what is left."""
    from tests.bench.plain_loop import PlainRobot

    meter, body = Meter(), PlainRobot(robot, batch)
    random = np.random.default_rng(0)
    every = max(1, round(FEATURES_EVERY_S * robot.rate_hz))
    joints = len(robot.joints)
    zeros = np.zeros(joints, np.float32)
    seen = np.zeros(joints, np.int64)
    try:
        for number in range(ticks):
            began = time.perf_counter()
            if number % every == 0:
                pooled = random.standard_normal(width).astype(np.float32)
                now = time.monotonic_ns()
                features = Features(pooled, now, now, number + 1, 1)
            meter.begin()
            state = JointState(body.read(), zeros, zeros, seen)
            meter.part()
            meter.part()
            setpoint = heads.setpoint(features, state, time.monotonic_ns(), number)
            meter.part()
            meter.part()
            assert setpoint is not None
            body.write(setpoint.position)
            meter.part()
            meter.part()
            meter.end()
            time.sleep(max(0.0, 1 / robot.rate_hz - (time.perf_counter() - began)))
    finally:
        body.close()
    return meter


def run_one(contender: str, rate_hz: float, seconds: float) -> dict[str, Any]:
    """One contender in this process; figures in µs."""
    import msgspec

    engines = load_robot("sim").engines
    robot = msgspec.structs.replace(two_families(), engines=engines, rate_hz=rate_hz)
    plans = find_plans(robot.engines)
    manifest = admit(plans, robot)
    width = manifest.backbone.pooled_width
    skipped, ticks = round(WARM_UP_S * rate_hz), round((seconds + WARM_UP_S) * rate_hz)
    with tempfile.TemporaryDirectory() as name, start_sim(robot, Path(name)) as body:
        robot = with_channels(robot, body.channels)
        heads = open_heads(manifest, plans, robot)
        if contender == "ours":
            meter = run_ours(robot, heads, width, Path(name), ticks)
        else:
            meter = run_plain(robot, heads, width, contender == "batch", ticks)
        received = int(body.received().sum())
    cpu = np.diff(np.array(meter.cpu[skipped:]), axis=1) / 1e3
    starts = np.array(meter.starts[skipped:])
    span_s = float(starts[-1] - starts[0]) / 1e9
    return {
        "contender": contender,
        "ticks": len(cpu),
        "rate_hz": (len(cpu) - 1) / span_s,
        "drift_ms_per_s": 1e3 * (span_s - (len(cpu) - 1) / rate_hz) / span_s,
        "cpu_us": spread(cpu.sum(axis=1)),
        "parts_us": {part: spread(cpu[:, k]) for k, part in enumerate(PARTS)},
        "row_us": spread(cpu[:, 5]),
        "wall_us": spread(np.array(meter.wall[skipped:]) / 1e3),
        "joint_commands_received": received,
        "board": board(manifest),
    }


def spread(values: np.ndarray) -> dict[str, float]:
    """p50, p99 and worst."""
    p50, p99 = np.percentile(values, [50, 99])
    return {"p50": float(p50), "p99": float(p99), "max": float(values.max())}


def in_its_own_process(contender: str, chosen: argparse.Namespace) -> dict[str, Any]:
    """This file again, for one contender."""
    command = [sys.executable, __file__, "--only", contender]
    command += ["--seconds", str(chosen.seconds), "--rate", str(chosen.rate)]
    ran = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def draw(rows: list[dict[str, Any]], load: str) -> None:
    """The table."""
    print(f"{rows[0]['board']}\nload average before and after: {load}\n")
    print(f"{'µs, p50 / p99':<16}" + "".join(f"{row['contender']:>18}" for row in rows))
    lines = [("whole tick, CPU", "cpu_us"), ("whole tick, wall", "wall_us")]
    for label, key in lines:
        print(f"{label:<16}" + "".join(f"{pair(row[key]):>18}" for row in rows))
    for part in PARTS:
        print(f"  {part:<14}" + "".join(f"{pair(row['parts_us'][part]):>18}" for row in rows))
    print(f"  {'row, CPU':<14}" + "".join(f"{pair(row['row_us']):>18}" for row in rows))
    print(f"{'rate, Hz':<16}" + "".join(f"{row['rate_hz']:>18.3f}" for row in rows))
    print(f"{'drift, ms a s':<16}" + "".join(f"{row['drift_ms_per_s']:>18.3f}" for row in rows))
    ours = rows[0]["cpu_us"]["p50"]
    times = [f"{row['contender']} {row['cpu_us']['p50'] / ours:.1f}" for row in rows[1:]]
    print(f"\nCPU time of a tick, times ours: {', '.join(times)}")


def pair(values: dict[str, float]) -> str:
    """p50 / p99."""
    return f"{values['p50']:.0f} / {values['p99']:.0f}"


def main() -> None:
    """Measure all in turn, print, exit 1 where ours is not the cheapest."""
    parser = argparse.ArgumentParser(description="CPU time of a tick, against plain loops.")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", choices=CONTENDERS, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.only:
        print(json.dumps(run_one(chosen.only, chosen.rate, chosen.seconds)))
        return
    before = os.getloadavg()[0]
    rows = [in_its_own_process(contender, chosen) for contender in CONTENDERS]
    load = f"{before:.2f}, {os.getloadavg()[0]:.2f}"
    if chosen.json:
        print(json.dumps({"load": load, "contenders": rows}, indent=2))
    else:
        draw(rows, load)
    cheapest = min(rows, key=lambda row: row["cpu_us"]["p50"])
    sys.exit(0 if cheapest is rows[0] else 1)


if __name__ == "__main__":
    main()
