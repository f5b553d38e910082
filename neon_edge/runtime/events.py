"""What happened during a run, in sentences: made by the supervisor, outside every tick."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from neon_edge.clock import Clock
from neon_edge.safety.watch import Cause
from neon_edge.telemetry.log import RareWarnings
from neon_edge.telemetry.mapped import Rows
from neon_edge.types import Rung

KEPT = 1000


class Event(NamedTuple):
    """One sentence, when it became true, and how grave it is (a level of `logging`)."""

    at_ns: int
    level: int
    kind: str
    """What events of one kind have in common; a kind is logged at most once a second."""
    text: str


class LadderEvents:
    """Rows of the tick ring → an event for every change of rung or cause."""

    def __init__(self, joint_names: Sequence[str], sensor_names: Sequence[str] = ()) -> None:
        self._joints, self._sensors = joint_names, sensor_names
        self._before = (int(Rung.RUN), int(Cause.NONE))

    def seen_in(self, rows: Rows) -> list[Event]:
        """Events in these rows, which follow those of the last call."""
        if len(rows) == 0:
            return []
        stands = np.stack([rows["rung"], rows["cause"]]).T
        before = np.vstack([np.array([self._before], dtype=stands.dtype), stands[:-1]])
        events = [self._event(rows[at]) for at in np.flatnonzero((stands != before).any(axis=1))]
        self._before = (int(stands[-1, 0]), int(stands[-1, 1]))
        return events

    def _event(self, row: np.void) -> Event:
        rung, cause = Rung(int(row["rung"])), Cause(int(row["cause"]))
        names = self._sensors if cause is Cause.SENSOR_SILENT else self._joints
        place = int(row["joint"])
        where = f" ({names[place]})" if place < len(names) else ""
        name = cause.name.lower().replace("_", " ")
        why = "" if cause is Cause.NONE else f": {name}{where}"
        level = logging.INFO if rung is Rung.RUN else logging.WARNING
        text = f"{rung.name.lower()}{why}, tick {int(row['number'])}"
        return Event(int(row["start_ns"]), level, f"{rung.name} {name}", text)


class EventLog:
    """Says events through `logging`, each kind at most once a second, and keeps the newest."""

    def __init__(self, log: logging.Logger, clock: Clock) -> None:
        self._log = log
        self._rare = RareWarnings(log, clock)
        self._clock = clock
        self.kept: list[Event] = []
        self._untaken: list[Event] = []

    def say(self, event: Event) -> None:
        """Log and keep one."""
        if event.level >= logging.WARNING:
            self._rare.warn(event.kind, event.text)
        else:
            self._log.log(event.level, event.text)
        for events in (self.kept, self._untaken):
            events.append(event)
            del events[:-KEPT]

    def take(self) -> list[Event]:
        """Events since the last call, at most the newest thousand."""
        taken, self._untaken = self._untaken, []
        return taken

    def warn(self, kind: str, text: str) -> None:
        """A warning that is true now."""
        self.say(Event(self._clock.now_ns(), logging.WARNING, kind, text))
