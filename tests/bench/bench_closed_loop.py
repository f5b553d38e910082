"""A sine at the wire: `python -m tests.bench.bench_closed_loop [SECONDS] [ROBOT] [--json]`.

Every joint of the robot follows 0.5 Hz through codec, bus, emulated motor and back, in real time
and in another process's motors. A family's line tells how far joints are from their command when
it is sent, and how late what is read is behind what was commanded: the phase of the sine in the
states, in ticks. One tick of it is the wire (an answer is read at the tick after its command); the
rest is the motors' own: kd / kp, because no velocity is commanded. The bar: no answer missing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np

from neon_edge.clock import MonotonicClock
from neon_edge.config import RobotConfig, load_robot
from neon_edge.sim import start_sim, with_channels
from neon_edge.transport import open_robot
from neon_edge.transport.robot import Robot
from tests.bench.judged import arguments, judged
from tests.transport.drive import command

HZ = 0.5
AMPLITUDE_RAD = 0.15
SETTLE_S = 1.0


class Followed(NamedTuple):
    """Per joint, (joints,)."""

    error_rad: np.ndarray
    """Root mean square of state less command, as the tick saw both."""
    lag_ticks: np.ndarray
    amplitude: np.ndarray
    """Of the states over that of the commands."""


def follow(
    robot: Robot, config: RobotConfig, seconds: float, next_tick: Callable[[], object]
) -> Followed:
    """Drive every joint about the middle between its pose and its nearer limit; look at states."""
    pose = robot.enable()
    lower = np.array([joint.lower for joint in config.joints], np.float32) + 0.03
    upper = np.array([joint.upper for joint in config.joints], np.float32) - 0.03
    reach = np.minimum((upper - lower) / 2, AMPLITUDE_RAD).astype(np.float32)
    middle = np.clip(pose, lower + reach, upper - reach)
    ticks = round(seconds * config.rate_hz)
    commanded = np.zeros((ticks, len(pose)))
    states = np.zeros((ticks, len(pose)))
    for tick in range(ticks):
        at_s = tick / config.rate_hz
        share = min(at_s / SETTLE_S, 1.0)
        wave = middle + reach * np.float32(np.sin(2 * np.pi * HZ * at_s))
        goal = (pose + np.float32(share) * (wave - pose)).astype(np.float32)
        states[tick] = robot.read().position
        commanded[tick] = goal
        robot.write(command(config, goal))
        next_tick()
    settled = slice(round(2 * SETTLE_S * config.rate_hz), None)
    return _compared(commanded[settled], states[settled], config.rate_hz)


def _compared(commanded: np.ndarray, states: np.ndarray, rate_hz: float) -> Followed:
    # Whole periods only: the fit of one frequency leaks nothing then.
    period = round(rate_hz / HZ)
    kept = len(commanded) // period * period
    turn = np.exp(-2j * np.pi * HZ / rate_hz * np.arange(kept))
    wanted, seen = turn @ commanded[:kept], turn @ states[:kept]
    lag = -np.angle(seen / wanted) / (2 * np.pi * HZ) * rate_hz
    error = np.sqrt(((states[:kept] - commanded[:kept]) ** 2).mean(axis=0))
    return Followed(error, lag, np.abs(seen / wanted))


def by_family(config: RobotConfig, seen: Followed) -> dict[str, dict[str, float]]:
    """Joints, median and worst error and lag, median amplitude."""
    tags = [joint.motor.__struct_config__.tag for joint in config.joints]
    rows = {}
    for tag in dict.fromkeys(tags):
        of = np.array([tag == other for other in tags])
        error, lag = 1e3 * seen.error_rad[of], seen.lag_ticks[of]
        rows[str(tag)] = {
            "joints": int(of.sum()),
            "error_mrad": float(np.median(error)),
            "worst_error_mrad": float(error.max()),
            "lag_ticks": float(np.median(lag)),
            "worst_lag_ticks": float(lag.max()),
            "amplitude": float(np.median(seen.amplitude[of])),
        }
    return rows


def told(rows: dict[str, dict[str, float]]) -> list[str]:
    """A line a family."""
    head = (
        f"{'family':<12}{'joints':>7}{'error mrad':>12}{'worst':>8}{'lag ticks':>11}"
        f"{'worst':>7}{'amplitude':>11}"
    )
    lines = [
        f"{family:<12}{row['joints']:>7}{row['error_mrad']:>12.1f}{row['worst_error_mrad']:>8.1f}"
        f"{row['lag_ticks']:>11.2f}{row['worst_lag_ticks']:>7.2f}{row['amplitude']:>11.3f}"
        for family, row in rows.items()
    ]
    return [head, *lines]


def main() -> int:
    """In real time; 1 where an answer was missing."""
    parser = arguments(__doc__)
    parser.add_argument("seconds", nargs="?", type=float, default=22.0)
    parser.add_argument("robot", nargs="?", default="sim")
    options = parser.parse_args()
    config, clock = load_robot(options.robot), MonotonicClock()
    period_ns = round(1e9 / config.rate_hz)
    due = [0]

    def next_tick() -> None:
        due[0] = max(due[0] + period_ns, clock.now_ns() - period_ns) if due[0] else clock.now_ns()
        clock.sleep_until_ns(due[0] + period_ns)

    with ExitStack() as opened:
        folder = opened.enter_context(tempfile.TemporaryDirectory())
        sim = opened.enter_context(start_sim(config, Path(folder)))
        robot = opened.enter_context(open_robot(with_channels(config, sim.channels), clock))
        seen = follow(robot, config, options.seconds, next_tick)
        missing = int(robot.counters.missing.sum())
    rows = by_family(config, seen)
    table = [
        f"{options.robot}: {len(config.joints)} joints, {HZ} Hz, {options.seconds:g} s at "
        f"{config.rate_hz:g} Hz, answers missing {missing}",
        *told(rows),
    ]
    missed = [f"{missing} answers missing"] if missing else []
    return judged({"missing": missing, "rows": rows}, table, missed, options.json)


if __name__ == "__main__":
    raise SystemExit(main())
