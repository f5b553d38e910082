"""A running robot is spoken to: new instructions, refusals with numbers, callers of every kind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from neon_edge.clock import FakeClock
from neon_edge.config import load_robot
from neon_edge.errors import ConfigWrong, DeviceMissing, UsageWrong
from neon_edge.features.backbone import instruction_id
from neon_edge.runtime.instructions import Instructor, Listener
from neon_edge.runtime.requests import (
    CALLERS,
    PATIENCE_NS,
    SILENCE_NS,
    Answer,
    Reply,
    Request,
    Requests,
    ask,
    find_socket,
)
from neon_edge.telemetry.recording import Recorded
from tests.cli.live import Live, wait_s
from tests.conftest import ROOT, neon_edge


def taking(texts: list[str], longest: int = 10) -> object:
    def instruct(text: str) -> int:
        if len(text) > longest:
            raise ConfigWrong("too long", f"{len(text)} tokens, room for {longest}", "shorten it")
        texts.append(text)
        return instruction_id(text)

    return instruct


def both_ends(tmp_path: Path, texts: list[str]) -> tuple[Instructor, Listener]:
    wanted, in_use = tmp_path / "wanted", tmp_path / "in_use"
    return Instructor(wanted, in_use), Listener(wanted, in_use, taking(texts))  # type: ignore[arg-type]


def test_an_instruction_is_taken_once_and_a_refused_one_leaves_the_old(tmp_path: Path) -> None:
    texts: list[str] = []
    instructor, listener = both_ends(tmp_path, texts)
    assert instructor.in_use() is None
    listener.start("stand")
    listener.look()
    number = instructor.want("walk")
    listener.look()
    listener.look()
    in_use = instructor.in_use()
    assert in_use is not None
    assert (in_use.number, in_use.text, in_use.instruction_id) == (
        number, "walk", instruction_id("walk"),
    )  # fmt: skip
    assert texts == ["stand", "walk"]
    number = instructor.want("walk to the red door")
    listener.look()
    refused = instructor.in_use()
    assert refused is not None
    assert (refused.number, refused.text) == (number, "walk")
    assert (refused.wrong, refused.facts) == ("too long", "20 tokens, room for 10")


def test_a_backbone_that_comes_back_takes_what_was_in_use(tmp_path: Path) -> None:
    texts: list[str] = []
    instructor, listener = both_ends(tmp_path, texts)
    listener.start("stand")
    instructor.want("walk")
    listener.look()
    instructor.want("far too long to take")
    listener.look()
    _, again = both_ends(tmp_path, texts)
    again.start("stand")
    again.look()
    assert texts == ["stand", "walk", "walk"]
    last = instructor.want("run")
    again.look()
    in_use = instructor.in_use()
    assert in_use is not None
    assert (in_use.number, in_use.text) == (last, "run")


class Desk:
    """Requests answered by this test, and callers that connect to them."""

    def __init__(self, path: Path) -> None:
        self.clock = FakeClock()
        self.ready = False
        self.requests = Requests(
            path, {"echo": self.echo, "slow": self.slow, "full": self.full}, self.clock
        )

    def echo(self, text: str) -> Answer:
        return lambda: Reply(True, {"text": text})

    def slow(self, _: str) -> Answer:
        return lambda: Reply(True) if self.ready else None

    def full(self, when: str) -> Answer:
        def answer() -> Reply | None:
            raise OSError(28, "No space left on device")

        if when == "now":
            answer()
        return answer

    def caller(self, packet: bytes = b"") -> socket.socket:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        made.settimeout(5)
        made.connect(str(self.requests.path))
        if packet:
            made.send(packet)
        return made


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = Desk(tmp_path / "neon-edge.sock")
    yield opened
    opened.requests.close()
    assert not opened.requests.path.exists()


def heard(caller: socket.socket) -> Reply:
    return msgspec.json.decode(caller.recv(65536), type=Reply)


def test_callers_are_answered_when_there_is_an_answer(desk: Desk) -> None:
    slow = desk.caller(b'{"ask":"slow"}')
    quick = desk.caller(b'{"ask":"echo","text":"hello"}')
    desk.requests.look()
    desk.requests.look()
    assert heard(quick).told == {"text": "hello"}
    desk.ready = True
    desk.requests.look()
    assert heard(slow).done


@pytest.mark.parametrize("packet", [b"\xff\x00", b"[]", b'{"ask":5}', b'{"ask":"fly"}'])
def test_nonsense_is_refused_and_harms_nobody(desk: Desk, packet: bytes) -> None:
    wrong = desk.caller(packet)
    right = desk.caller(b'{"ask":"echo"}')
    desk.requests.look()
    desk.requests.look()
    assert not heard(wrong).done
    assert heard(right).done


def test_silent_and_vanished_callers_are_let_go(desk: Desk) -> None:
    desk.caller().close()
    desk.caller(b'{"ask":"echo"}').close()
    silent = desk.caller()
    desk.requests.look()
    desk.clock.advance_ns(SILENCE_NS)
    desk.requests.look()
    assert "in time" in heard(silent).wrong


def test_whoever_waits_for_an_answer_is_waited_with_longer_than_the_silent(desk: Desk) -> None:
    slow = desk.caller(b'{"ask":"slow"}')
    desk.requests.look()
    desk.clock.advance_ns(PATIENCE_NS - 1)
    desk.requests.look()
    desk.ready = True
    desk.requests.look()
    assert heard(slow).done


@pytest.mark.parametrize("crowd", [b"", b'{"ask":"slow"}'])
def test_no_crowd_of_callers_keeps_another_from_being_heard(desk: Desk, crowd: bytes) -> None:
    crowded = [desk.caller(crowd) for _ in range(CALLERS)]
    desk.requests.look()
    late = desk.caller(b'{"ask":"echo"}')
    desk.requests.look()
    assert heard(late).done
    more = [desk.caller(crowd) for _ in range(CALLERS)]
    desk.requests.look()
    assert "too many" in heard(crowded[0]).wrong
    last = desk.caller(b'{"ask":"echo"}')
    desk.requests.look()
    assert heard(last).done
    assert more


def test_an_answer_that_fails_is_an_answer(desk: Desk) -> None:
    for words, where in (("full at once", "now"), ("full later", "later")):
        caller = desk.caller(b'{"ask":"full","text":"%s"}' % where.encode())
        desk.requests.look()
        reply = heard(caller)
        assert not reply.done, words
        assert "No space left" in reply.facts


def test_a_second_robot_does_not_take_the_first_one_s_socket(desk: Desk) -> None:
    with pytest.raises(UsageWrong, match="another robot already answers"):
        Requests(desk.requests.path, {}, FakeClock())


def test_without_a_robot_there_is_nobody_to_speak_to(tmp_path: Path) -> None:
    with pytest.raises(DeviceMissing, match="does not answer"):
        ask(tmp_path / "absent", Request("status"))
    assert find_socket(str(tmp_path)) == tmp_path / "neon-edge.sock"


def test_bytes_that_are_no_text_are_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    with pytest.raises(UsageWrong, match="not text") as caught:
        ask(tmp_path / "absent", Request("say", os.fsdecode(b"go \xff")))
    assert "surrogates" in caught.value.facts


@pytest.mark.slow
def test_say_reaches_the_features_and_survives_the_backbone(plans: Path, tmp_path: Path) -> None:
    live = Live(plans, "--record", str(tmp_path / "run.mcap"))
    live.until_ticking()
    place = str(live.directory)
    said = neon_edge("say", "walk to the blue door", "--socket", place, "--json")
    assert said.returncode == 0, said.stderr
    wanted = instruction_id("walk to the blue door")
    assert json.loads(said.stdout)["told"]["instruction_id"] == f"{wanted:x}"
    refused = neon_edge("say", "walk " * 500, "--socket", place)
    assert refused.returncode == 2
    assert "too long" in refused.stderr
    assert "room for" in refused.stderr
    live.hurt("neon_edge.runtime.backbone", signal.SIGKILL)
    wait_s(6)
    told = json.loads(neon_edge("status", "--socket", place, "--json").stdout)
    assert told["instruction"] == "walk to the blue door"
    assert told["features_instruction_id"] == f"{wanted:x}"
    assert told["state"] == "running"
    live.run.terminate()
    code, _, err = live.end()
    assert code == 0, err
    assert neon_edge("replay", str(tmp_path / "run.mcap")).returncode == 0
    messages = Recorded(tmp_path / "run.mcap").messages()
    features = [json.loads(m.payload) for m in messages if m.topic == "/features"]
    ids = [content["instruction_id"] for content in features]
    before = instruction_id(load_robot("sim").instruction)
    changed = ids.index(f"{wanted:x}")
    assert ids[:changed] == [f"{before:x}"] * changed
    assert ids[changed:] == [f"{wanted:x}"] * (len(ids) - changed)


@pytest.mark.slow
def test_the_example_planner_walks_through_its_list(plans: Path, tmp_path: Path) -> None:
    subtasks = tmp_path / "subtasks.txt"
    subtasks.write_text("walk to the door\n\nopen the door\n")
    live = Live(plans)
    live.until_ticking()
    planner = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "plan_subtasks.py"), str(subtasks), "--each", "0.5",
         "--socket", str(live.directory)],
        capture_output=True, text=True, timeout=60, check=False, cwd=ROOT,
    )  # fmt: skip
    live.run.terminate()
    live.end()
    assert planner.returncode == 0, planner.stderr
    assert planner.stdout.split("\n")[:-1] == [
        f"{instruction_id(text):x}  {text}" for text in ("walk to the door", "open the door")
    ]
