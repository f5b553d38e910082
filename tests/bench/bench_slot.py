"""The slot: write and read medians, and torn reads accepted beside a writer at full speed.

python tests/bench/bench_slot.py [--seconds 10] [--width 2048]
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
from pathlib import Path

import numpy as np

from neon_edge.clock import MonotonicClock
from neon_edge.features.slot import SlotReader, SlotWriter, create_slot

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


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--width", type=int, default=2048)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        path = Path(place) / "slot"
        create_slot(path, options.width)
        writes, reads = medians(path, options.width)
        # A fresh slot: what `medians` published does not say its own sequence.
        create_slot(path, options.width)
        accepted, given_up, torn = contended(path, options.width, options.seconds)
    print(f"width {options.width} float32, alone:")
    print(f"  write  p50 {np.median(writes):.1f} µs  p99 {np.percentile(writes, 99):.1f} µs")
    print(f"  read   p50 {np.median(reads):.1f} µs  p99 {np.percentile(reads, 99):.1f} µs")
    print(f"beside a writer at full speed for {options.seconds:g} s:")
    print(f"  {accepted} new features read, {given_up} reads given up, {torn} torn accepted")
    raise SystemExit(1 if torn else 0)


if __name__ == "__main__":
    main()
