"""A stop gets through to a control process whose supervisor is dead, and to no other."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from neon_edge.clock import FakeClock
from neon_edge.config import load_robot
from neon_edge.runtime import backbone, orphans
from neon_edge.runtime.health import create_stop_flag, is_pressed
from neon_edge.runtime.requests import Requests
from neon_edge.runtime.rundir import hold
from neon_edge.runtime.spec import ControlNote, RunSpec, write_note
from neon_edge.telemetry.ring import TickRing
from neon_edge.types import Rung


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphans, "place", lambda: tmp_path)


def made(tmp_path: Path, name: str, rung: Rung) -> RunSpec:
    """A run's files, its newest tick on `rung`."""
    directory = tmp_path / f"neon-edge-{name}"
    directory.mkdir()
    spec = RunSpec(robot=load_robot("sim"), plans="", directory=str(directory))
    create_stop_flag(spec.stop_flag)
    TickRing.create(spec.ticks, 16)
    with TickRing.open_writer(spec.ticks) as ring:
        columns = dict.fromkeys((name for name, _ in TickRing.FIELDS), 0)
        ring.add(**{**columns, "rung": rung})
    write_note(spec.control_log, ControlNote(state="running", pid=4711))
    return spec


def test_the_stop_of_a_living_run_is_pressed_and_looked_after(tmp_path: Path) -> None:
    alive, dead = made(tmp_path, "1-a", Rung.DAMP), made(tmp_path, "2-b", Rung.RUN)
    held = hold(alive.path)
    assert orphans.unanswered() == [alive.path]
    assert orphans.stop([alive.path], FakeClock()) == {alive.path: Rung.DAMP}
    assert is_pressed(alive.stop_flag)
    assert not is_pressed(dead.stop_flag)
    assert orphans.control_of(alive.path) == 4711
    held.close()


def test_a_loop_that_does_not_look_is_told_and_pressed_all_the_same(tmp_path: Path) -> None:
    spec = made(tmp_path, "1-a", Rung.RUN)
    assert orphans.stop([spec.path], FakeClock()) == {spec.path: Rung.RUN}
    assert is_pressed(spec.stop_flag)


def test_a_run_that_answers_for_itself_is_left_to_its_supervisor(tmp_path: Path) -> None:
    spec = made(tmp_path, "1-a", Rung.RUN)
    with closing(Requests(spec.path / "neon-edge.sock", {}, FakeClock())), hold(spec.path):
        assert orphans.unanswered() == []
        assert orphans.unanswered(str(spec.path)) == [spec.path]
        assert orphans.unanswered(str(spec.path / "neon-edge.sock")) == [spec.path]


def test_what_may_not_be_written_is_not_called_pressed(tmp_path: Path) -> None:
    assert orphans.stop([tmp_path / "neon-edge-gone"], FakeClock()) == {}


def test_a_backbone_without_a_supervisor_ends_with_its_control_process(tmp_path: Path) -> None:
    spec = made(tmp_path, "1-a", Rung.RUN)
    nobody = os.getppid() + 1
    for state, pid, useless in (
        ("running", os.getpid(), False),
        ("stopped", os.getpid(), True),
        ("running", 2**22 + 1, True),
    ):
        write_note(spec.control_log, ControlNote(state=state, pid=pid))
        assert backbone._useless(nobody, spec) is useless
        assert not backbone._useless(os.getppid(), spec)
