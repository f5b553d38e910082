"""What a child is started with, how often it is started again, and what its end means."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

from neon_edge.clock import FakeClock
from neon_edge.errors import NeonEdgeError
from neon_edge.runtime import children
from neon_edge.runtime.children import (
    BRING_UP_NS,
    FINAL,
    FINAL_ONCE_RUNNING,
    RESTARTS,
    STEADY_NS,
    Child,
    ChildFailed,
)
from neon_edge.runtime.reviving import Reviving

MS = 1_000_000


class Process:
    """Lives until it is told its exit code."""

    made: ClassVar[list[Process]] = []

    def __init__(self, command: list[str], **_: object) -> None:
        self.arguments = command[4:]
        self.pid = len(Process.made) + 1
        self.returncode: int | None = None
        self.signals: list[int] = []
        Process.made.append(self)

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        self.signals.append(number)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    Process.made = []
    monkeypatch.setattr(children.subprocess, "Popen", Process)
    return FakeClock()


def die(code: int) -> None:
    Process.made[-1].returncode = code


def waited_ms(child: Child, clock: FakeClock) -> int:
    """How long after its death it may be started again."""
    assert child.just_died()
    assert not child.just_died()
    for ms in range(60_000):
        if child.may_restart():
            return ms
        clock.advance_ns(MS)
    raise AssertionError("never")


def test_each_restart_waits_twice_as_long_and_a_steady_life_earns_the_first_wait(
    clock: FakeClock,
) -> None:
    child = Child("control", Path("run.json"), clock)
    waits = []
    for _ in range(8):
        die(-9)
        waits.append(waited_ms(child, clock))
        child.restart()
        clock.advance_ns(STEADY_NS)
    assert waits == [500, 1000, 2000, 4000, 8000, 16000, 16000, 16000]
    clock.advance_ns(1)
    die(-9)
    assert waited_ms(child, clock) == 500


def test_it_is_given_up_after_so_many_short_lives_and_a_steady_one_forgives_them(
    clock: FakeClock,
) -> None:
    child = Child("backbone", Path("run.json"), clock)

    def live_shortly(times: int) -> None:
        for _ in range(times):
            die(70)
            waited_ms(child, clock)
            child.restart()

    live_shortly(RESTARTS)
    clock.advance_ns(STEADY_NS + 1)
    live_shortly(1)
    live_shortly(RESTARTS)
    assert not child.given_up
    assert child.restarts == 2 * RESTARTS + 1
    die(70)
    assert child.just_died()
    assert child.given_up
    clock.advance_ns(10**12)
    assert not child.may_restart()


@pytest.mark.parametrize("code", sorted(FINAL))
def test_what_a_restart_does_not_mend_is_not_tried_again(clock: FakeClock, code: int) -> None:
    control = Child("control", Path("run.json"), clock)
    die(code)
    assert control.just_died()
    assert control.given_up
    backbone = Child("backbone", Path("run.json"), clock, FINAL_ONCE_RUNNING)
    die(code)
    assert backbone.just_died()
    assert backbone.given_up is (code != 69)


def test_a_dead_child_gets_no_signal_that_another_process_may_get(clock: FakeClock) -> None:
    child = Child("control", Path("run.json"), clock)
    assert child.send(signal.SIGUSR1)
    die(-9)
    assert not child.send(signal.SIGUSR1)
    assert Process.made[0].signals == [signal.SIGUSR1]


def test_it_is_coming_up_while_it_is_young_or_waits_to_be_started(clock: FakeClock) -> None:
    child = Child("control", Path("run.json"), clock)
    assert child.coming_up
    clock.advance_ns(BRING_UP_NS)
    assert not child.coming_up
    die(-9)
    child.just_died()
    assert child.coming_up
    die(78)
    assert not child.coming_up


def test_a_real_death_by_a_signal_is_three_lines_and_our_exit_code() -> None:
    child = Child("absent", Path("run.json"), FakeClock())
    child._popen.kill()
    child._popen.wait()
    failure = child.failure()
    assert isinstance(failure, NeonEdgeError)
    assert failure.exit_code == 70
    assert str(failure).splitlines()[0] == "the absent process was killed"
    assert "signal 9, after 0 restarts" in failure.facts


def test_an_exit_code_is_passed_on(clock: FakeClock) -> None:
    child = Child("control", Path("run.json"), clock)
    die(74)
    failure = child.failure()
    assert isinstance(failure, ChildFailed)
    assert failure.code == 74


Made = Callable[..., tuple[Reviving, list[str]]]


@pytest.fixture
def made(clock: FakeClock) -> Made:
    def make(seconds: float | None = None) -> tuple[Reviving, list[str]]:
        told: list[str] = []
        control = Child("control", Path("run.json"), clock)
        backbone = Child("backbone", Path("run.json"), clock, FINAL_ONCE_RUNNING)
        # The newest process is the one that `die` ends.
        return Reviving(control, backbone, clock, seconds, lambda _, text: told.append(text)), told

    return make


def test_a_control_process_comes_back_disarmed_for_the_seconds_that_are_left(
    made: Made, clock: FakeClock
) -> None:
    reviving, told = made(10.0)
    control = Process.made[0]
    assert reviving.control()
    clock.advance_ns(4_000 * MS)
    control.returncode = -11
    assert reviving.control()
    clock.advance_ns(500 * MS)
    assert reviving.control()
    assert Process.made[-1].arguments == ["disarmed", "5.5"]
    assert len(told) == 1
    assert "signal 11" in told[0] and "comes back disarmed" in told[0]
    clock.advance_ns(6_000 * MS)
    die(-11)
    reviving.control()
    clock.advance_ns(2_000 * MS)
    assert not reviving.control()


@pytest.mark.parametrize("code", [0, 74, 78])
def test_a_control_process_that_ended_or_cannot_be_mended_ends_the_run(
    made: Made, code: int
) -> None:
    reviving, told = made()
    Process.made[0].returncode = code
    assert not reviving.control()
    assert told == []


def test_a_backbone_that_is_given_up_is_told_once_and_stays_in_the_status(
    made: Made, clock: FakeClock
) -> None:
    reviving, told = made()
    for _ in range(RESTARTS + 1):
        assert reviving.status == ""
        die(70)
        for _ in range(20):
            reviving.backbone(ticked=True)
            clock.advance_ns(1_000 * MS)
    assert reviving.status == " · backbone given up"
    assert len(told) == RESTARTS + 1
    assert [text for text in told if "given up" in text] == told[-1:]
    assert len(Process.made) == RESTARTS + 2


def test_a_backbone_that_never_could_work_ends_the_run_and_a_working_one_does_not(
    made: Made,
) -> None:
    reviving, told = made()
    die(78)
    with pytest.raises(ChildFailed):
        reviving.backbone(ticked=False)
    reviving.backbone(ticked=True)
    assert "given up" in told[0]
    assert reviving.status
