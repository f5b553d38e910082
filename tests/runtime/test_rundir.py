"""Whose directory may be swept: that of the dead, whatever process has their number now."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from neon_edge.runtime import rundir
from neon_edge.runtime.rundir import LOCK, RunDirectory, hold, is_held, sweep


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rundir, "place", lambda: tmp_path)


def test_a_dead_run_is_swept_though_its_number_lives_again(tmp_path: Path) -> None:
    left = tmp_path / f"neon-edge-{os.getpid()}-abc"
    left.mkdir()
    hold(left).close()
    assert (left / LOCK).exists()
    assert not is_held(left)
    assert sweep() == [left]
    assert not left.exists()


def test_a_run_that_lives_is_left_alone_by_whoever_it_was_started(tmp_path: Path) -> None:
    with RunDirectory() as path:
        assert is_held(path)
        assert sweep() == []
        child = hold(path)
        orphaned = path.rename(tmp_path / "neon-edge-999999999-abc")
        assert sweep() == []
        orphaned.rename(path)
        child.close()
    assert not path.exists()


def test_a_directory_that_is_being_made_is_known_by_its_maker(tmp_path: Path) -> None:
    made = tmp_path / f"neon-edge-{os.getpid()}-new"
    dead = tmp_path / "neon-edge-999999999-new"
    for each in (made, dead):
        each.mkdir()
    assert sweep() == [dead]
    assert made.exists()


def test_what_is_no_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "neon-edge-file").write_text("")
    assert sweep() == []
