"""The ring of bus frames: all that was added comes out in order, however rows end."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neon_edge.telemetry.frames import ROOM, ROWS, FrameRing, Passed, create_frames, passed
from neon_edge.telemetry.reader import RingReader

RECORDS = st.builds(
    Passed, st.integers(0, 2**63 - 1), st.integers(0, 255), st.booleans(),
    st.binary(min_size=1, max_size=2000),
)  # fmt: skip


def drained(path: Path) -> list[Passed]:
    reader = RingReader(path)
    reader.drain()
    assert reader.lost == 0
    return [record for row in reader.rows() for record in passed(row)]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(RECORDS, st.booleans()), max_size=30))
def test_what_goes_in_comes_out(
    tmp_path_factory: pytest.TempPathFactory, added: list[tuple[Passed, bool]]
) -> None:
    path = tmp_path_factory.mktemp("frames") / "frames.ring"
    create_frames(path)
    with FrameRing(path) as ring:
        for record, ends in added:
            ring.add(record.bus, record.sent, record.raw, record.at_ns)
            if ends:
                ring.commit()
    assert drained(path) == [record for record, _ in added]


@pytest.mark.parametrize("length", [ROOM - 12, ROOM - 11, 3 * ROOM])
def test_what_fits_no_row_goes_in_pieces(tmp_path: Path, length: int) -> None:
    path = tmp_path / "frames.ring"
    create_frames(path)
    raw = bytes(at % 251 for at in range(length))
    with FrameRing(path) as ring:
        ring.add(0, False, b"first", 1)
        ring.add(1, True, raw, 2)
    first, *pieces = drained(path)
    assert first == Passed(1, 0, False, b"first")
    assert b"".join(piece.raw for piece in pieces) == raw
    assert len(pieces) == -(-length // (ROOM - 12))
    assert {(piece.at_ns, piece.bus, piece.sent) for piece in pieces} == {(2, 1, True)}


def test_a_commit_of_nothing_makes_no_row_and_overwritten_rows_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "frames.ring"
    create_frames(path)
    reader = RingReader(path)
    with FrameRing(path) as ring:
        ring.commit()
        assert reader.drain() == 0
        for at in range(ROWS + 5):
            ring.add(0, True, b"x", at)
            ring.commit()
        assert reader.drain() == ROWS
    assert reader.lost == 5
