"""A recording that replay cannot read says why in three lines, and a lost row is a difference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neon_edge.errors import ConfigWrong
from neon_edge.runtime.observed import Kind
from neon_edge.runtime.replay import replay
from tests.conftest import neon_edge
from tests.runtime.recordings import about_of, rewritten, rows_of

pytestmark = pytest.mark.slow


def test_a_recording_without_its_first_row_is_refused_in_three_lines(
    recording: Path, tmp_path: Path
) -> None:
    path = rewritten(recording, tmp_path / "headless.mcap", {0: b""})
    outcome = neon_edge("replay", str(path))
    assert outcome.returncode == 78
    assert "does not say how its run began" in outcome.stderr
    assert len(outcome.stderr.strip().splitlines()) == 3


def test_a_process_whose_first_row_is_lost_is_a_difference(recording: Path, tmp_path: Path) -> None:
    begun = np.flatnonzero(rows_of(recording)["kind"] == Kind.BEGIN)
    report = replay(rewritten(recording, tmp_path / "gap.mcap", {int(begun[1]): b""}))
    assert report.first is not None
    assert report.first.what == "1 rows before this one were not recorded"


def test_a_swap_whose_order_is_lost_is_a_difference(recording: Path, tmp_path: Path) -> None:
    rows = rows_of(recording)
    at = int(np.flatnonzero(rows["kind"] == Kind.TICK)[50])
    swap = rows[at : at + 1].copy()
    swap["kind"], swap["number"] = Kind.SWAP, 1
    report = replay(rewritten(recording, tmp_path / "swap.mcap", {at: swap.tobytes()}))
    assert report.first is not None
    assert report.first.what == "the order of swap 1 was not recorded"
    assert report.first.tick == rows[at - 1]["number"]


@pytest.mark.parametrize(
    ("key", "value", "facts"),
    [
        ("robot", '{"name": "sim", "legs": 2}', "unknown field `legs`"),
        ("robot", "not json", "malformed"),
        ("manifest", "{}", "missing required field"),
        ("heads", '[{"place": "moon"}]', "Object"),
        ("plans", None, ""),
        ("robot", None, "lacks 'robot'"),
    ],
)
def test_a_recording_of_another_version_says_which(
    recording: Path, tmp_path: Path, key: str, value: str | None, facts: str
) -> None:
    about = about_of(recording) | {"neon_edge": "0.0.1"}
    if value is None:
        del about[key]
    else:
        about[key] = value
    if key == "plans":
        del about["heads"]
    path = rewritten(recording, tmp_path / "other.mcap", {}, about=about)
    outcome = neon_edge("replay", str(path))
    assert outcome.returncode == 78
    wrong, found, fix = outcome.stderr.strip().splitlines()
    assert "was recorded by another version" in wrong
    assert facts in found
    assert "0.0.1" in fix


def test_rows_of_another_version_are_refused(recording: Path, tmp_path: Path) -> None:
    rows = rows_of(recording)
    row = rows[60:61].copy()
    row["kind"] = 99
    with pytest.raises(ConfigWrong, match="another version") as refused:
        replay(rewritten(recording, tmp_path / "kind.mcap", {60: row.tobytes()}))
    assert "rows of kind 99" in refused.value.facts
    with pytest.raises(ConfigWrong, match="another version") as refused:
        replay(rewritten(recording, tmp_path / "names.mcap", {}, renames=("wanted:", "wished:")))
    assert "rows of /neon_edge/rows lack wanted as f4*29" in refused.value.facts
