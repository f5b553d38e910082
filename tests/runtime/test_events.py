"""Every change of rung is told once, with its cause and its joint; a storm is told in short."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from neon_edge.clock import FakeClock
from neon_edge.runtime.events import Event, EventLog, LadderEvents
from neon_edge.safety.watch import Cause
from neon_edge.telemetry.mapped import Rows, row_dtype
from neon_edge.telemetry.ring import TickRing
from neon_edge.types import Rung

NONE = 0xFFFF


def ticks(*stands: tuple[Rung, Cause, int]) -> Rows:
    rows = np.zeros(len(stands), row_dtype(TickRing.FIELDS))
    for number, (rung, cause, joint) in enumerate(stands):
        rows[number]["number"], rows[number]["start_ns"] = number, 1000 * number
        rows[number]["rung"], rows[number]["cause"], rows[number]["joint"] = rung, cause, joint
    return rows


def test_a_change_is_told_once_with_cause_joint_and_tick() -> None:
    run = (Rung.RUN, Cause.NONE, NONE)
    silent = (Rung.HOLD, Cause.JOINT_SILENT, 1)
    damp = (Rung.DAMP, Cause.JOINT_SILENT, 1)
    ladder = LadderEvents(["knee", "hip"])
    assert ladder.seen_in(ticks()) == []
    assert ladder.seen_in(ticks(run, run)) == []
    first = ladder.seen_in(ticks(run, silent, silent, damp))
    assert [event.text for event in first] == [
        "hold: joint silent (hip), tick 1", "damp: joint silent (hip), tick 3"
    ]  # fmt: skip
    assert [event.at_ns for event in first] == [1000, 3000]
    assert ladder.seen_in(ticks(damp)) == []
    (back,) = ladder.seen_in(ticks(run))
    assert (back.level, back.text) == (logging.INFO, "run, tick 0")


def test_a_storm_is_logged_once_a_second_and_kept_whole(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    log = EventLog(logging.getLogger("storm"), clock)
    with caplog.at_level(logging.INFO):
        for number in range(100):
            log.say(Event(clock.now_ns(), logging.WARNING, "hold", f"hold {number}"))
            clock.advance_ns(20_000_000)
    assert [record.getMessage() for record in caplog.records] == [
        "hold 0", "hold 50 (49 more like it)"
    ]  # fmt: skip
    assert len(log.kept) == 100
    for _ in range(2000):
        log.say(Event(0, logging.WARNING, "more", "more"))
    assert len(log.kept) == 1000
