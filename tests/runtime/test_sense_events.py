"""A sense that goes and comes back is said once each way."""

from __future__ import annotations

import logging

import numpy as np

from neon_edge.capture.senses import Sense
from neon_edge.runtime.sense_events import SenseEvents
from neon_edge.telemetry.mapped import Rows, row_dtype
from neon_edge.telemetry.ring import PassRing


def rows(*states: tuple[Sense, int, Sense]) -> Rows:
    made = np.zeros(len(states), row_dtype(PassRing.FIELDS))
    for row, (video, camera, sound) in zip(made, states, strict=True):
        row["video"], row["camera"], row["sound"] = video, camera, sound
    return made


def test_each_change_is_an_event_across_calls() -> None:
    events = SenseEvents(["head", "wrist"], "ear")
    there, dark, silent = Sense.THERE, Sense.DARK, Sense.SILENT
    assert events.seen_in(rows((there, 0, there))) == []
    first = events.seen_in(rows((there, 0, there), (dark, 1, there), (dark, 1, there)))
    assert [event.text for event in first] == ["camera wrist is dark"]
    assert first[0].level == logging.WARNING
    assert events.status == " · no picture: dark"
    second = events.seen_in(rows((dark, 1, silent), (there, 1, silent), (dark, 1, silent)))
    assert [event.text for event in second] == [
        "microphone ear is silent",
        "camera wrist is back",
        "camera wrist is dark",
    ]
    assert events.status == " · no picture: dark · no sound: silent"
    assert events.warnings == ["camera wrist is dark, 2 times", "microphone ear is silent"]
    assert len(events.seen_in(rows((there, 0, there)))) == 2
    assert events.status == ""
