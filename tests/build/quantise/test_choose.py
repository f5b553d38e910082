"""Candidates are timed in turns, one open at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from neon_edge.build.quantise.choose import PASSES, TURNS, timed


def test_one_candidate_is_open_at_a_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    now_ns = 0
    opened: list[str] = []
    log: list[str] = []

    def fake(directory: Path, threads: int) -> tuple[Callable[[], None], Callable[[], None]]:
        assert not opened and threads == 2
        opened.append(directory.name)
        log.append(directory.name)
        passes = iter(range(100))

        def infer() -> None:
            nonlocal now_ns
            slow = 50 if next(passes) < 2 else 0
            now_ns += (slow + {"int8": 3, "int4": 7}[directory.name]) * 1_000_000

        return infer, lambda: opened.remove(directory.name)

    class Clock:
        def now_ns(self) -> int:
            return now_ns

    monkeypatch.setattr("neon_edge.build.quantise.choose.opened", fake)
    monkeypatch.setattr("neon_edge.build.quantise.choose.MonotonicClock", Clock)
    found = timed({name: tmp_path / name for name in ("int8", "int4")}, 2)
    assert found == {"int8": 3.0, "int4": 7.0}
    assert log == ["int8", "int4"] * TURNS and not opened and PASSES >= 5
