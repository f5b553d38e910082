"""What safety costs a tick of 29 joints: `python -m tests.bench.bench_safety [TICKS]`.

The whole filter, and the motion limiter alone (velocity, acceleration, jerk; 50 µs is its bar), on
setpoints that jump now and then. CPU time, tick after tick without a pause.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from neon_edge.config import load_robot
from neon_edge.safety.filter import SafetyFilter
from neon_edge.safety.limits import Limits
from neon_edge.safety.motion import robot_motion
from neon_edge.types import Features, Health, JointState, Rung, Setpoint

TICK_NS = 20_000_000
WARM_UP = 200


def main(ticks: int = 5000) -> None:
    """The table."""
    robot = load_robot("sim")
    n = len(robot.joints)
    limits = Limits(robot)
    middle = (limits.lower + limits.upper) / 2
    safety = SafetyFilter(robot, np.arange(n))
    motion = robot_motion(robot, limits.lower, limits.upper)
    now_ns = TICK_NS
    safety.start(middle, now_ns)
    motion.reset(middle)
    rng = np.random.default_rng(1)
    pooled, base, still = np.zeros(8, np.float32), np.zeros(3, np.float32), np.zeros(n, np.float32)
    whole, alone = [], []
    for tick in range(ticks + WARM_UP):
        now_ns += TICK_NS
        jump = rng.uniform(-0.5, 0.5, n) * (tick % 50 == 0)
        wanted = (middle + 0.1 * np.sin(0.06 * tick) + jump).astype(np.float32)
        setpoint = Setpoint(wanted, base, now_ns, now_ns)
        joints = JointState(middle, still, still, np.full(n, now_ns))
        features = Features(pooled, now_ns, now_ns, 1, 1)
        health = Health()
        begun = time.thread_time_ns()
        command = safety.filter(setpoint, joints, features, health, now_ns)
        between = time.thread_time_ns()
        motion.step(wanted)
        alone.append(time.thread_time_ns() - between)
        whole.append(between - begun)
        assert command.rung is Rung.RUN
    print(f"{n} joints, {ticks} ticks, CPU µs{'p50':>14}{'p99':>8}")
    for name, took in (("whole filter", whole), ("motion limiter", alone)):
        p50, p99 = np.percentile(took[WARM_UP:], (50, 99)) / 1e3
        print(f"{name:<24}{p50:>14.1f}{p99:>8.1f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
