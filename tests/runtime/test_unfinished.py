"""A run that crashed is remembered where its service manager keeps a directory, and only there."""

from __future__ import annotations

from pathlib import Path

import pytest

from neon_edge.errors import DeviceMissing
from neon_edge.runtime.unfinished import begin, finish, was_unfinished


def test_a_crash_is_remembered_and_an_end_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{tmp_path}:/elsewhere")
    assert not was_unfinished()
    begin()
    begin()
    assert was_unfinished()
    finish()
    assert not was_unfinished()
    finish()


def test_without_a_service_manager_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    begin()
    assert not was_unfinished()
    finish()


def test_a_robot_whose_crash_could_not_be_remembered_does_not_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "gone"))
    with pytest.raises(DeviceMissing, match="could not be remembered"):
        begin()
