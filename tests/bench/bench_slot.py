"""The slot: write and read medians, and torn reads accepted beside a writer at full speed.

    python -m tests.bench.bench_slot [--seconds 10] [--width 2048]

The bar: not one torn read is accepted.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from neon_edge.clock import MonotonicClock
from neon_edge.features.slot import SlotReader, SlotWriter, create_slot
from tests.bench.judged import arguments, judged

MODEL = 1
CLOCK = MonotonicClock()


def timed(call: object, times: int) -> np.ndarray:
    """Durations of `times` calls, µs."""
    spans = np.empty(times)
    for index in range(times):
        begun = CLOCK.now_ns()
        call()  # type: ignore[operator]
        spans[index] = (CLOCK.now_ns() - begun) / 1e3
    return spans


def write_flat_out(path: str, width: int, seconds: float) -> None:
    """Publish vectors that say their own sequence in every place, as fast as possible."""
    with SlotWriter(Path(path), MODEL) as writer:
        until = CLOCK.now_ns() + round(seconds * 1e9)
        value = 0
        while CLOCK.now_ns() < until:
            value = (value + 1) % 1_000_000
            writer.publish(np.full(width, value, dtype=np.float32), value, value)


def medians(path: Path, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Write, and read of something new, one after the other."""
    pooled = np.random.default_rng(0).standard_normal(width).astype(np.float32)
    with SlotWriter(path, MODEL) as writer, SlotReader(path, MODEL) as reader:
        writes, reads = [], []
        for _ in range(20_000):
            writes.append(timed(lambda: writer.publish(pooled, 1, 1), 1)[0])
            reads.append(timed(reader.latest, 1)[0])
    return np.array(writes), np.array(reads)


def contended(path: Path, width: int, seconds: float) -> tuple[int, int, int]:
    """Reads of something new, reads given up, torn values accepted."""
    spawn = multiprocessing.get_context("spawn")
    writer = spawn.Process(target=write_flat_out, args=(str(path), width, seconds))
    accepted = torn = last = 0
    with SlotReader(path, MODEL) as reader:
        writer.start()
        while writer.is_alive():
            features = reader.latest()
            if features is None or features.sequence == last:
                continue
            last = features.sequence
            accepted += 1
            whole = bool((features.pooled == features.pooled[0]).all())
            torn += not (whole and features.captured_ns == int(features.pooled[0]))
        writer.join()
        return accepted, reader.torn, torn


def main() -> int:
    """Measure both; 1 where a torn read was accepted."""
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--width", type=int, default=2048)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        path = Path(place) / "slot"
        create_slot(path, options.width)
        spans = dict(zip(("write", "read"), medians(path, options.width), strict=True))
        # A fresh slot: what `medians` published does not say its own sequence.
        create_slot(path, options.width)
        accepted, given_up, torn = contended(path, options.width, options.seconds)
    figures: dict[str, Any] = {"width": options.width, "seconds": options.seconds}
    table = [f"width {options.width} float32, alone:"]
    for name, span in spans.items():
        p50, p99 = (float(value) for value in np.percentile(span, (50, 99)))
        figures[name] = {"p50_us": p50, "p99_us": p99}
        table.append(f"  {name:<6} p50 {p50:.1f} µs  p99 {p99:.1f} µs")
    figures |= {"read_anew": accepted, "given_up": given_up, "torn_accepted": torn}
    table += [
        f"beside a writer at full speed for {options.seconds:g} s:",
        f"  {accepted} new features read, {given_up} reads given up, {torn} torn accepted",
    ]
    missed = [f"{torn} torn reads accepted"] if torn else []
    return judged(figures, table, missed, options.json)


if __name__ == "__main__":
    raise SystemExit(main())
