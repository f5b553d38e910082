"""A slot read while another process writes it as fast as it can."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from pathlib import Path

from neon_edge.clock import MonotonicClock
from neon_edge.features.slot import SlotReader, SlotWriter
from neon_edge.types import Features, Float32

Make = Callable[[int], tuple[Float32, Float32 | None]]
"""A number, which is also the stamp → pooled features and tokens that tell it."""
SECONDS = 2.0
_GIVE_UP_S = 20.0


def read_beside_a_writer(path: Path, model: int, make: Make) -> Iterator[Features]:
    """All that are seen, each once, until the writer ends; `make` is of a module."""
    writer = multiprocessing.get_context("spawn").Process(target=_write, args=(path, model, make))
    writer.start()
    clock, last = MonotonicClock(), 0
    with SlotReader(path, model) as reader:
        until_ns = clock.now_ns() + round(_GIVE_UP_S * 1e9)
        while writer.is_alive() and clock.now_ns() < until_ns:
            features = reader.latest()
            if features is not None and features.sequence != last:
                last = features.sequence
                yield features
    writer.join()


def _write(path: Path, model: int, make: Make) -> None:
    clock, number = MonotonicClock(), 0
    until_ns = clock.now_ns() + round(SECONDS * 1e9)
    with SlotWriter(path, model) as writer:
        while clock.now_ns() < until_ns:
            number = (number + 1) % 1_000_000
            pooled, tokens = make(number)
            writer.publish(pooled, number, number, tokens=tokens)
