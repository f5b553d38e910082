"""The supervisor's side of a swap: what a caller is told, and what counts as swapped."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest

from neon_edge.clock import FakeClock
from neon_edge.config import load_robot
from neon_edge.runtime.events import EventLog
from neon_edge.runtime.requests import Answer
from neon_edge.runtime.spec import RunSpec, read_spec
from neon_edge.runtime.swapping import GIVE_UP_NS, SwapNote, SwapOrder, Swapping, SwapWish
from tests.runtime.test_swapping import plan


class Asked:
    """A supervisor's side with one swap to ask for; its control process listens or does not."""

    def __init__(self, spec: RunSpec, monkeypatch: pytest.MonkeyPatch) -> None:
        self.spec = spec
        self.clock = FakeClock()
        self.listens = True
        self.new = plan(checkpoint="new")
        monkeypatch.setattr(Swapping, "_order", lambda *_: SwapOrder(1, 0, self.new, 1.0))
        events = EventLog(logging.getLogger("test"), self.clock)
        manifest: Any = None
        self.side = Swapping(spec, manifest, lambda _: self.listens, events, self.clock)

    def ask(self) -> Answer:
        wish = msgspec.json.encode(SwapWish("/nowhere")).decode()
        return self.side.answers["swap"](wish)

    def look(self, *, after_ns: int = 0) -> None:
        self.clock.advance_ns(after_ns)
        self.side.look()


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    spec = RunSpec(robot=load_robot("sim"), plans="", directory=str(tmp_path), heads=[plan()])
    return Asked(spec, monkeypatch)


def test_a_swap_that_takes_long_still_counts_when_it_is_done(asked: Asked) -> None:
    answer = asked.ask()
    asked.look(after_ns=GIVE_UP_NS)
    slow = answer()
    assert slow is not None and not slow.done
    assert "not open yet" in slow.wrong
    asked.spec.swap_done.write_bytes(msgspec.json.encode(SwapNote(1, 700)))
    asked.look(after_ns=GIVE_UP_NS)
    done = answer()
    assert done is not None and done.done
    assert asked.side.told()["heads"].endswith("new")
    assert read_spec(asked.spec.path / "run.json").heads[0].heads.checkpoint == "new"


def test_a_control_process_that_is_gone_swaps_nothing(asked: Asked) -> None:
    asked.listens = False
    refused = asked.ask()()
    assert refused is not None
    assert "does not listen" in refused.wrong
    assert not asked.spec.swap_wanted.exists()
    asked.listens = True
    answer = asked.ask()
    asked.listens = False
    asked.look()
    gone = answer()
    assert gone is not None
    assert "ended before" in gone.wrong
    assert asked.side.told()["heads"].endswith(" c")
