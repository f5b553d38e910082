"""The rings: nothing torn is believed, nothing lost is uncounted, nothing dies with the writer."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
import textwrap
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neon_edge.errors import ConfigWrong, UsageWrong
from neon_edge.telemetry import mapped
from neon_edge.telemetry.ring import PassRing, RingReader, TickRing


def add_pass(ring: PassRing, number: int) -> None:
    ring.add(
        sequence=number,
        captured_ns=number * 1000,
        capture_ns=number + 1,
        preprocess_ns=number + 2,
        backbone_ns=number + 3,
        publish_ns=number + 4,
    )


def a_tick(number: int) -> dict[str, int]:
    """A different value in every field, the largest that fits in the small ones."""
    largest = {"u1": 0xFF, "u2": 0xFFFF}
    fields = enumerate(TickRing.FIELDS, number)
    return {name: largest.get(code, 1 << 40) - at for at, (name, code) in fields}


def test_a_tick_comes_out_as_it_went_in(tmp_path: Path) -> None:
    path = tmp_path / "ticks.ring"
    TickRing.create(path)
    reader = RingReader(path)
    with TickRing.open_writer(path) as ring:
        ring.add(**a_tick(41))
    assert reader.drain() == 1
    row = reader.rows()[0]
    assert {name: int(row[name]) for name, _ in TickRing.FIELDS} == a_tick(41)


@settings(max_examples=60, deadline=None)
@given(
    capacity=st.integers(1, 9),
    turns=st.lists(st.integers(0, 12), max_size=12),
    keep=st.integers(1, 40),
)
def test_every_row_is_seen_once_in_order_or_counted_as_lost(
    tmp_path_factory: pytest.TempPathFactory, capacity: int, turns: list[int], keep: int
) -> None:
    path = tmp_path_factory.mktemp("ring") / "passes.ring"
    PassRing.create(path, capacity)
    reader = RingReader(path, keep)
    written = 0
    lost = 0
    expected: list[int] = []
    with PassRing.open_writer(path) as ring:
        for turn in turns:
            for _ in range(turn):
                add_pass(ring, written)
                written += 1
            reader.drain()
            lost += max(0, turn - capacity)
            expected += range(written - min(turn, capacity), written)
            kept = reader.rows()["sequence"].tolist()
            assert kept == expected[len(expected) - len(kept) :]
            assert min(len(expected), keep - keep // 4) <= len(kept) <= keep
    assert (reader.seen, reader.lost) == (len(expected), lost)
    assert reader.newest(3)["sequence"].tolist() == expected[-min(3, len(reader.rows())) :]


def test_a_damaged_row_is_never_returned_and_counted_once(tmp_path: Path) -> None:
    path = tmp_path / "passes.ring"
    PassRing.create(path, 8)
    reader = RingReader(path)
    with PassRing.open_writer(path) as ring:
        for number in range(4):
            add_pass(ring, number)
        row_bytes = reader.dtype.itemsize
        with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as raw:
            raw[mapped.HEADER_BYTES + 2 * row_bytes + 20] ^= 0x01
        assert reader.drain() == 2  # it might still be on its way, so wait
        assert reader.lost == 0
        assert reader.drain() == 1  # it is not: go on behind it
        assert reader.rows()["sequence"].tolist() == [0, 1, 3]
        assert reader.lost == 1


def test_a_row_that_is_announced_before_it_is_there_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "passes.ring"
    PassRing.create(path, 8)
    reader = RingReader(path)
    with PassRing.open_writer(path) as ring, path.open("r+b") as file:
        with mmap.mmap(file.fileno(), 0) as raw:
            latest = mapped.latest_of(raw)
            latest[0] = 1  # as another core may see it
            assert reader.drain() == 0
            del latest
        add_pass(ring, 7)
        assert reader.drain() == 1
        assert reader.lost == 0


def test_there_is_one_writer(tmp_path: Path) -> None:
    path = tmp_path / "ticks.ring"
    TickRing.create(path)
    with TickRing.open_writer(path), pytest.raises(UsageWrong, match="already writes"):
        TickRing.open_writer(path)
    TickRing.open_writer(path).close()


def test_a_killed_writer_leaves_its_rows_and_the_next_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "passes.ring"
    PassRing.create(path, 4)
    script = textwrap.dedent(f"""
        from pathlib import Path
        from neon_edge.telemetry.ring import PassRing
        ring = PassRing.open_writer(Path({str(path)!r}))
        for n in range(1, 4):
            ring.add(sequence=n, captured_ns=n, capture_ns=0, preprocess_ns=0, backbone_ns=0,
                     publish_ns=0)
        print("written", flush=True)
        while True:
            pass
        """)
    reader = RingReader(path)
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"written\n"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert reader.drain() == 3
    with PassRing.open_writer(path) as ring:
        add_pass(ring, 4)
        add_pass(ring, 5)
    assert reader.drain() == 2
    assert reader.rows()["sequence"].tolist() == [1, 2, 3, 4, 5]
    assert RingReader(path).drain() == 4  # who comes late sees what is still there


def test_a_reader_in_step_with_a_writer_at_full_speed_accepts_only_whole_rows(
    tmp_path: Path,
) -> None:
    path = tmp_path / "passes.ring"
    PassRing.create(path, 16)
    script = textwrap.dedent(f"""
        from pathlib import Path
        from neon_edge.telemetry.ring import PassRing
        ring = PassRing.open_writer(Path({str(path)!r}))
        for n in range(1, 60_001):
            ring.add(sequence=n, captured_ns=3 * n, capture_ns=5 * n, preprocess_ns=7 * n,
                     backbone_ns=11 * n, publish_ns=13 * n)
        """)
    reader = RingReader(path)
    child = subprocess.Popen([sys.executable, "-c", script])
    while child.poll() is None:
        reader.drain()
    assert child.returncode == 0
    reader.drain()
    reader.drain()
    rows = reader.rows()
    assert reader.seen + reader.lost == 60_000
    assert len(rows) > 16
    for factor, name in ((3, "captured_ns"), (5, "capture_ns"), (13, "publish_ns")):
        np.testing.assert_array_equal(rows[name], factor * rows["sequence"])
    assert (np.diff(rows["sequence"]) > 0).all()


def test_adding_allocates_nothing_that_stays(tmp_path: Path) -> None:
    path = tmp_path / "ticks.ring"
    TickRing.create(path)
    with TickRing.open_writer(path) as ring:
        tick = a_tick(7)
        for _ in range(300):
            ring.add(**tick)
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(1000):
            ring.add(**tick)
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
    # One object a row, of the smallest there is, would be 16,000.
    assert grown < 8000


@pytest.mark.parametrize("wrong", [b"", b"NERG", b"x" * 5000])
def test_a_file_that_is_no_ring_is_refused(tmp_path: Path, wrong: bytes) -> None:
    path = tmp_path / "ticks.ring"
    path.write_bytes(wrong)
    with pytest.raises(ConfigWrong, match=r"ring"):
        RingReader(path)


def test_a_ring_of_another_kind_or_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ring"
    PassRing.create(path)
    with pytest.raises(ConfigWrong, match="not a TickRing"):
        TickRing.open_writer(path)
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(ConfigWrong, match="not a ring of this version"):
        RingReader(path)
    with pytest.raises(ConfigWrong, match="cannot be read"):
        RingReader(tmp_path / "absent.ring")
