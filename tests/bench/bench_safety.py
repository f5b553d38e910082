"""What safety costs a tick of 29 joints: `python -m tests.bench.bench_safety [TICKS]`.

The whole filter, and the motion limiter alone (velocity, acceleration, jerk), on setpoints that
jump now and then. CPU time, tick after tick without a pause. The bar: the limiter's p50 is within
50 µs.
"""

from __future__ import annotations

import time

import numpy as np

from neon_edge.config import load_robot
from neon_edge.safety.filter import SafetyFilter
from neon_edge.safety.limits import Limits
from neon_edge.safety.motion import robot_motion
from neon_edge.types import Features, Health, JointState, Rung, Setpoint
from tests.bench.judged import arguments, judged

TICK_NS = 20_000_000
WARM_UP = 200
LIMITER_US = 50.0


def measured(ticks: int) -> tuple[int, dict[str, np.ndarray]]:
    """Joints, and CPU µs of every tick: the whole filter's, the limiter's alone."""
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
    spans = (("whole filter", whole), ("motion limiter", alone))
    return n, {name: np.array(took[WARM_UP:]) / 1e3 for name, took in spans}


def main() -> int:
    """The table; 1 where the limiter costs more than its bar."""
    parser = arguments(__doc__)
    parser.add_argument("ticks", nargs="?", type=int, default=5000)
    options = parser.parse_args()
    joints, spans = measured(options.ticks)
    rows = {name: [float(q) for q in np.percentile(took, (50, 99))] for name, took in spans.items()}
    table = [f"{joints} joints, {options.ticks} ticks, CPU µs{'p50':>14}{'p99':>8}"]
    table += [f"{name:<24}{p50:>14.1f}{p99:>8.1f}" for name, (p50, p99) in rows.items()]
    limiter = rows["motion limiter"][0]
    missed = [f"the limiter's p50: {limiter:.1f} µs"] if limiter > LIMITER_US else []
    figures = {"joints": joints, "ticks": options.ticks, "cpu_us_p50_p99": rows}
    return judged(figures, table, missed, options.json)


if __name__ == "__main__":
    raise SystemExit(main())
