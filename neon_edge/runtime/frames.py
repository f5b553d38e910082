"""Bus frames of a recorded run: from the buses into their ring, and out of it into messages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import groupby

import msgspec

from neon_edge.clock import Clock
from neon_edge.config import CanBus
from neon_edge.config.robot import Bus
from neon_edge.runtime.spec import RunSpec
from neon_edge.telemetry.frames import FrameRing, Passed, passed
from neon_edge.telemetry.mapped import Rows
from neon_edge.telemetry.recording import Message
from neon_edge.transport.protocol.socketcan import candump
from neon_edge.transport.robot import Robot

FRAMES = "/frames"


def keep_frames(spec: RunSpec, robot: Robot, clock: Clock, opened: ExitStack) -> FrameRing | None:
    """From now on every byte of every bus goes into the ring, where the run is recorded."""
    if not spec.record:
        return None
    ring = opened.enter_context(FrameRing(spec.frames))
    places = {bus.name: place for place, bus in enumerate(spec.robot.buses)}

    def tap(bus: str, sent: bool, raw: bytes) -> None:
        ring.add(places[bus], sent, raw, clock.now_ns())

    robot.listen(tap)
    opened.callback(robot.listen, None)
    return ring


def from_frames(rows: Rows, buses: Sequence[Bus]) -> Iterator[Message]:
    """A message for all that passed one way on one bus in a row, at the time of the first."""
    for row in rows:
        for (place, sent), group in groupby(passed(row), lambda each: (each.bus, each.sent)):
            records = list(group)
            content = {
                "bus": buses[place].name,
                "sent": sent,
                **_spelled(buses[place], records),
            }
            yield Message(FRAMES, records[0].at_ns, msgspec.json.encode(content))


def _spelled(bus: Bus, records: Sequence[Passed]) -> dict[str, list[str]]:
    if isinstance(bus, CanBus):
        return {"frames": [text for record in records for text in candump(record.raw)]}
    return {"bytes": [record.raw.hex() for record in records]}
