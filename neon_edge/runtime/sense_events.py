"""Rows of the pass ring → an event for every sense that goes or comes back."""

from __future__ import annotations

import logging

import numpy as np

from neon_edge.capture.senses import Sense
from neon_edge.runtime.events import Event
from neon_edge.telemetry.mapped import Rows

_WHY = {
    Sense.THERE: "is back",
    Sense.DARK: "is dark",
    Sense.FROZEN: "shows the same picture again and again",
    Sense.SILENT: "is silent",
    Sense.LOST: "gives nothing",
}


class SenseEvents:
    """Follows the senses of one run. `cameras` in the robot file's order."""

    def __init__(self, cameras: list[str], microphone: str) -> None:
        self._cameras = cameras
        self._microphone = microphone
        self._before = (int(Sense.THERE), int(Sense.THERE))
        self._counts: dict[str, int] = {}

    def seen_in(self, rows: Rows) -> list[Event]:
        """Events in these rows, which follow those of the last call."""
        if len(rows) == 0:
            return []
        stands = np.stack([rows["video"], rows["sound"]]).T
        before = np.vstack([np.array([self._before], dtype=stands.dtype), stands[:-1]])
        self._before = (int(stands[-1, 0]), int(stands[-1, 1]))
        found = []
        for at, column in np.argwhere(stands != before):
            name = self._microphone if column else self._camera(int(rows["camera"][at]))
            found.append(self._event(rows[at], Sense(int(stands[at, column])), column, name))
        return found

    @property
    def status(self) -> str:
        """What is missing now, as the end of a status line; nothing where all is there."""
        names = ("picture", "sound")
        gone = [
            f" · no {name}: {Sense(state).name.lower()}"
            for name, state in zip(names, self._before, strict=True)
            if state
        ]
        return "".join(gone)

    @property
    def warnings(self) -> list[str]:
        """Every way in which a sense went, and how often."""
        return [
            f"{text}, {count} times" if count > 1 else text for text, count in self._counts.items()
        ]

    def _camera(self, index: int) -> str:
        return self._cameras[index] if index < len(self._cameras) else f"camera {index}"

    def _event(self, row: np.void, state: Sense, column: int, name: str) -> Event:
        kind = "microphone" if column else "camera"
        text = f"{kind} {name} {_WHY[state]}"
        if state is Sense.THERE:
            return Event(int(row["captured_ns"]), logging.INFO, f"{kind} back", text)
        self._counts[text] = self._counts.get(text, 0) + 1
        return Event(int(row["captured_ns"]), logging.WARNING, f"{kind} {state.name}", text)
