"""Stop and arm reach a control process that listens, and change nothing where none does."""

from __future__ import annotations

import signal
from pathlib import Path

import msgspec
import pytest

from neon_edge.clock import FakeClock
from neon_edge.config import load_robot
from neon_edge.errors import DeviceMissing
from neon_edge.runtime.arming import ANSWER_NS, Arming, write_refusal
from neon_edge.runtime.health import create_stop_flag, is_pressed, press_stop
from neon_edge.runtime.requests import Answer, Reply
from neon_edge.runtime.spec import RunSpec
from neon_edge.types import Rung


class Desk:
    """A supervisor's arming, and a control process that listens or does not."""

    def __init__(self, directory: Path) -> None:
        self.spec = RunSpec(robot=load_robot("sim"), plans="", directory=str(directory))
        create_stop_flag(self.spec.stop_flag)
        self.clock = FakeClock()
        self.listens = True
        self.dies_when_told = False
        self.told: list[int] = []
        self.rung: Rung | None = Rung.DAMP
        self._arming = Arming(self.spec, self._tell, lambda: self.rung, self.clock)

    def _tell(self, number: int) -> bool:
        if not self.listens or (number and self.dies_when_told):
            return False
        self.told.append(number)
        return True

    def ask(self, word: str) -> Answer:
        return self._arming.answers[word]("")

    def settled(self, answer: Answer) -> Reply:
        assert answer() is None
        self.clock.advance_ns(ANSWER_NS)
        reply = answer()
        assert reply is not None
        return reply


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_robot_is_armed_once_its_control_process_says_so(desk: Desk) -> None:
    press_stop(desk.spec.stop_flag, True)
    answer = desk.ask("arm")
    assert not is_pressed(desk.spec.stop_flag)
    assert signal.SIGUSR1 in desk.told
    desk.rung = Rung.RUN
    assert answer() is None
    write_refusal(desk.spec.arming, None)
    assert answer() == Reply(True, {"rung": "run"})


def test_a_refusal_is_passed_on(desk: Desk) -> None:
    answer = desk.ask("arm")
    write_refusal(desk.spec.arming, DeviceMissing("a motor is hot", "80 °C", "let it cool"))
    reply = answer()
    assert reply is not None
    assert (reply.done, reply.wrong, reply.fix) == (False, "a motor is hot", "let it cool")


@pytest.mark.parametrize("dies", [False, True])
def test_arming_what_does_not_listen_leaves_the_stop_pressed(desk: Desk, dies: bool) -> None:
    press_stop(desk.spec.stop_flag, True)
    desk.listens, desk.dies_when_told = dies, dies
    reply = desk.ask("arm")()
    assert reply is not None
    assert not reply.done
    assert "does not listen" in reply.wrong
    assert signal.SIGUSR1 not in desk.told
    assert is_pressed(desk.spec.stop_flag)


def test_a_word_that_was_lost_does_not_hide_that_the_robot_has_armed(desk: Desk) -> None:
    answer = desk.ask("arm")
    desk.rung = Rung.RUN
    assert desk.settled(answer) == Reply(True, {"rung": "run"})


def test_a_full_disk_in_the_tick_costs_the_word_alone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    write_refusal(desk.spec.arming, None)
    assert not desk.spec.arming.exists()


def test_a_stop_is_pressed_whoever_listens_and_says_who_does_not(desk: Desk) -> None:
    desk.rung = Rung.RUN
    desk.listens = False
    reply = desk.settled(desk.ask("stop"))
    assert is_pressed(desk.spec.stop_flag)
    assert not reply.done
    assert "watchdogs" in reply.facts
    desk.listens = True
    answer = desk.ask("stop")
    desk.rung = Rung.DAMP
    assert answer() == Reply(True, {"rung": "damp"})
    assert msgspec.json.encode(answer())
