"""What recording costs: the control process a tick, the supervisor a tick, the disk a second.

python tests/bench/bench_record.py
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from time import perf_counter_ns, process_time_ns

import numpy as np

from neon_edge.clock import MonotonicClock
from neon_edge.config import load_robot
from neon_edge.runtime import messages
from neon_edge.runtime.observed import CAPACITY, Observer, observed_fields, pooled_fields
from neon_edge.telemetry.frames import FrameRing, create_frames
from neon_edge.telemetry.mapped import create_ring
from neon_edge.telemetry.reader import RingReader
from neon_edge.telemetry.recording import RecordingFile
from neon_edge.transport.protocol.socketcan import CLASSIC
from neon_edge.transport.sensors import Readings
from neon_edge.types import Health, JointCommand, JointState, Rung, Setpoint

TICKS = 2000
BAR_US = 25.0
"""p50 a tick in the control process."""
FRAMES_BAR_US = 100.0
"""p50 a tick of a bus's frames, whichever way they come."""


def frames_us(path: Path, pieces: int, piece: bytes) -> float:
    """p50 of keeping a tick's frames, µs."""
    create_frames(path)
    clock = MonotonicClock()
    spent = np.zeros(TICKS, np.int64)
    with FrameRing(path) as ring:
        for number in range(TICKS):
            begun_ns = perf_counter_ns()
            for _ in range(pieces):
                ring.add(0, True, piece, clock.now_ns())
            ring.commit()
            spent[number] = perf_counter_ns() - begun_ns
    return round(float(np.percentile(spent / 1e3, 50)), 1)


def main() -> int:
    """Print the costs for the simulated robot's 29 joints; 1 where the tick's misses its bar."""
    robot = load_robot("sim")
    joints = robot.joint_names
    n = len(joints)
    random = np.random.default_rng(0)
    values = random.standard_normal((9, n)).astype(np.float32)
    base = np.zeros(3, np.float32)
    state = JointState(values[0], values[1], values[2], np.arange(n))
    setpoint = Setpoint(values[3], base, 1, 2)
    command = JointCommand(*values[4:9], base, Rung.RUN, 1, 2)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        path = Path(place)
        create_ring(path / "observed.ring", observed_fields(n), CAPACITY)
        reader = RingReader(path / "observed.ring", 2 * TICKS)
        spent = np.zeros(TICKS, np.int64)
        with Observer(path / "observed.ring", robot, Readings([])) as observer:
            for number in range(TICKS):
                values[:, number % n] += 1e-3
                begun_ns = perf_counter_ns()
                observer.saw(state, None, Health())
                observer.tick(number, setpoint, command)
                spent[number] = perf_counter_ns() - begun_ns
        rows = reader.newest(reader.drain())
        channels = messages.channels(joints, observed_fields(n), pooled_fields(128))
        file = RecordingFile(path / "bench.mcap", channels, {"run": {}}, 1 << 15)
        begun_ns = process_time_ns()
        for message in messages.from_observed(rows, joints):
            file.add(message)
        took_us = (process_time_ns() - begun_ns) / 1e3 / len(rows)
        file.close()
        by_one = frames_us(path / "one.ring", 2 * n, bytes(CLASSIC.size))
        by_block = frames_us(path / "block.ring", 2, bytes(n * CLASSIC.size))
        kilobytes = (path / "bench.mcap").stat().st_size / len(rows) * 50 / 1e3
    p50, p99 = np.percentile(spent / 1e3, [50, 99])
    figures = {
        "tick_us_p50": round(float(p50), 1),
        "tick_us_p99": round(float(p99), 1),
        "frames_one_by_one_us_p50": by_one,
        "frames_by_block_us_p50": by_block,
        "supervisor_cpu_us_a_tick": round(took_us, 1),
        "kilobytes_a_second_at_50_hz": round(kilobytes, 1),
    }
    if "--json" in sys.argv:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{name:28} {figure:8}" for name, figure in figures.items()))
    return 0 if p50 <= BAR_US and max(by_one, by_block) <= FRAMES_BAR_US else 1


if __name__ == "__main__":
    sys.exit(main())
