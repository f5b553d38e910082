"""Candidates are timed in turns, one open at a time, all in a process of their own."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from neon_edge.build.quantise import timed as module
from neon_edge.build.quantise.timed import PASSES, TURNS, in_turns, timed
from neon_edge.errors import ConfigWrong, PlanUnfit


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

    monkeypatch.setattr(module, "opened", fake)
    monkeypatch.setattr(module, "MonotonicClock", Clock)
    found = in_turns({name: tmp_path / name for name in ("int8", "int4")}, 2)
    assert found == {"int8": 3.0, "int4": 7.0}
    assert log == ["int8", "int4"] * TURNS and not opened and PASSES >= 5


def _takes_its_process_along(plans: dict[str, Path], threads: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_plans_that_kill_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "in_turns", _takes_its_process_along)
    with pytest.raises(PlanUnfit, match="the plans float, int4 ended the process") as caught:
        timed({"float": tmp_path, "int4": tmp_path}, 1)
    assert "-9" in caught.value.facts and "memory" in caught.value.facts


def test_a_refusal_comes_back_whole(tmp_path: Path) -> None:
    with pytest.raises(ConfigWrong, match="manifest"):
        timed({"float": tmp_path}, 1)
