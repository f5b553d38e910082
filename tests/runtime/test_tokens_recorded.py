"""Features with tokens on their way into a recording, whole and not too many at a time."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from neon_edge.clock import FakeClock
from neon_edge.config import load_robot
from neon_edge.engine.manifest import read_manifest
from neon_edge.runtime import recorder as module
from neon_edge.runtime.observed import (
    POOLED_BYTES,
    POOLED_CAPACITY,
    PooledRing,
    pooled_capacity,
    pooled_fields,
)
from neon_edge.runtime.recorder import Recorder
from neon_edge.runtime.spec import RunSpec
from neon_edge.telemetry.mapped import create_ring, row_dtype
from neon_edge.telemetry.reader import RingReader
from neon_edge.telemetry.ring import PassRing, TickRing
from neon_edge.types import Features

WIDTH, ROWS = 8, 5


def test_as_many_tokens_as_there_were_are_kept_with_their_features(tmp_path: Path) -> None:
    fields = pooled_fields(WIDTH, ROWS)
    create_ring(tmp_path / "ring", fields, 4)
    random = np.random.default_rng(0)
    made = [random.standard_normal((count, WIDTH), np.float32) for count in (ROWS, 2, 4)]
    with PooledRing(tmp_path / "ring", WIDTH, ROWS) as ring:
        for number, tokens in enumerate(made):
            ring.add(Features(tokens.mean(axis=0), number, number, number, 1, 2, tokens))
    reader = RingReader(tmp_path / "ring")
    assert reader.drain() == 3
    for row, tokens in zip(reader.rows(), made, strict=True):
        kept = row["tokens"].reshape(ROWS, WIDTH)
        assert np.array_equal(kept[: row["count"]], tokens)
        assert not kept[row["count"] :].any()


def test_a_ring_of_them_stays_small() -> None:
    assert pooled_capacity(pooled_fields(2048)) == POOLED_CAPACITY
    large = pooled_fields(2048, 160)
    held = pooled_capacity(large)
    assert POOLED_CAPACITY // 4 <= held < POOLED_CAPACITY
    assert held * row_dtype(large).itemsize <= POOLED_BYTES
    assert pooled_capacity(pooled_fields(4096, 1000)) == POOLED_CAPACITY // 4


def test_features_without_tokens_have_the_fields_that_they_had() -> None:
    assert [name for name, _ in pooled_fields(WIDTH)][-1] == "pooled"


def test_a_disk_that_is_too_slow_for_them_costs_rows_and_no_memory(
    plans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, spec = read_manifest(plans), RunSpec(load_robot("sim"), str(plans), str(tmp_path))
    ticks, passes = (np.zeros(0, row_dtype(ring.FIELDS)) for ring in (TickRing, PassRing))
    width, disk, add = manifest.backbone.pooled_width, threading.Event(), Recorder._add
    monkeypatch.setattr(module, "QUEUE_BYTES", 2 * row_dtype(pooled_fields(width)).itemsize)
    monkeypatch.setattr(Recorder, "_add", lambda self, batch: (disk.wait(), add(self, batch)))
    recorder = Recorder(spec, manifest, tmp_path / "run.mcap", FakeClock())
    try:
        with PooledRing(spec.pooled, width) as ring:
            for number in range(5):
                ring.add(Features(np.ones(width, np.float32), number, number, number, 1))
                recorder.look(ticks, passes, [])
        assert recorder.dropped == 3
    finally:
        disk.set()
        recorder.close()
    assert recorder.failure == ""
