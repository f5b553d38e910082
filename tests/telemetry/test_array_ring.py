"""Rows with arrays in them come out as they went in, and keep every promise of the other rings."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neon_edge.errors import ConfigWrong, DeviceMissing, UsageWrong
from neon_edge.telemetry.mapped import ArrayRing, create_ring, fields_of, fields_text
from neon_edge.telemetry.reader import RingReader

FIELDS = (("number", "i8"), ("position", "f4*29"), ("received_ns", "i8*29"), ("kind", "u1"))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_bit_comes_out_as_it_went_in(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    path = tmp_path_factory.mktemp("ring") / "rows.ring"
    create_ring(path, FIELDS, 8)
    reader = RingReader(path)
    random = np.random.default_rng(seed)
    # Any bit pattern: infinities, both zeros, and every NaN with its payload.
    position = random.integers(0, 2**32, (3, 29), dtype=np.uint32).view(np.float32)
    received = random.integers(-(2**63), 2**63 - 1, (3, 29))
    with ArrayRing(path, FIELDS) as ring:
        for row in range(3):
            ring.field("number")[0] = row
            ring.field("position")[:] = position[row]
            ring.field("received_ns")[:] = received[row]
            ring.field("kind")[0] = 200 + row
            ring.commit()
    assert reader.drain() == 3
    rows = reader.rows()
    assert rows["row"].tolist() == [1, 2, 3]
    assert rows["position"].tobytes() == position.tobytes()
    np.testing.assert_array_equal(rows["received_ns"], received)
    assert rows["kind"].tolist() == [200, 201, 202]


def test_fields_survive_their_text() -> None:
    assert fields_of(fields_text(FIELDS)) == FIELDS


def test_it_goes_on_where_the_last_writer_stopped_and_has_one_writer(tmp_path: Path) -> None:
    path = tmp_path / "rows.ring"
    create_ring(path, FIELDS, 2)
    reader = RingReader(path)
    for number in range(3):
        with ArrayRing(path, FIELDS) as ring:
            ring.field("number")[0] = number
            ring.commit()
            with pytest.raises(UsageWrong, match="already writes"):
                ArrayRing(path, FIELDS)
    assert reader.drain() == 2
    assert reader.rows()["number"].tolist() == [1, 2]
    assert reader.lost == 1
    with pytest.raises(ConfigWrong, match="not a ArrayRing"):
        ArrayRing(path, FIELDS[:2])


def test_a_row_allocates_nothing_that_stays(tmp_path: Path) -> None:
    path = tmp_path / "rows.ring"
    create_ring(path, FIELDS, 16)
    with ArrayRing(path, FIELDS) as ring:
        position, values = ring.field("position"), np.arange(29, dtype=np.float32)
        for _ in range(100):
            np.copyto(position, values)
            ring.commit()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(1000):
            np.copyto(position, values)
            ring.commit()
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
    assert grown < 1024


def test_more_fields_than_the_header_holds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="more fields"):
        create_ring(tmp_path / "rows.ring", tuple((f"field_{n}", "f8*3") for n in range(100)), 4)


def test_a_ring_s_memory_is_there_before_anybody_touches_it(tmp_path: Path) -> None:
    create_ring(tmp_path / "ring", (("a", "i8"),), 4096)
    found = (tmp_path / "ring").stat()
    assert found.st_blocks * 512 >= found.st_size


def test_a_full_disk_is_told_when_the_ring_is_made_and_not_at_a_touch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DeviceMissing, match="no room") as told:
        create_ring(tmp_path / "ring", (("a", "i8"),), 4096)
    assert "No space left" in told.value.facts
    assert not (tmp_path / "ring").exists()
