"""A bus without a wire: our drivers and emulated motors in one thread, on a clock that is moved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple
from unittest import mock

import numpy as np

from neon_edge.clock import Clock, FakeClock
from neon_edge.config import Bus, CanBus, RobotConfig
from neon_edge.sim.body import Body
from neon_edge.sim.faults import Faults, FaultyWire
from neon_edge.sim.motors import Motors
from neon_edge.transport.bus import BusCounters, Tap
from neon_edge.transport.protocol.socketcan import decode_frame, encode_frame
from neon_edge.transport.robot import Robot, open_robot
from neon_edge.types import BusFrame


class InlineBus:
    """What is sent has been heard and answered before `send` returns."""

    def __init__(
        self, config: Bus, motors: Motors, clock: FakeClock, wire: FaultyWire | None = None
    ) -> None:
        self.wire = wire
        """Mistreats what the motors answer, once it is set."""
        self.name = config.name
        self.counters = BusCounters()
        self.tap: Tap | None = None
        self.motors = motors
        self._clock = clock
        self._can = config.__struct_config__.tag == "can"
        self._waiting: list[BusFrame] = []

    def send(self, frames: Sequence[BusFrame]) -> int:
        """Let the motors hear and answer."""
        for frame in frames:
            raw = encode_frame(frame) if self._can else frame.payload
            for reply in self.motors.hear(raw, self._clock.now_ns()):
                self._answer(reply.raw)
        return len(frames)

    def receive_ready(self) -> list[BusFrame]:
        """What has been answered, and what the motors say unasked."""
        for reply in self.motors.speak(self._clock.now_ns()):
            self._answer(reply.raw)
        waiting, self._waiting = self._waiting, []
        return waiting

    def _answer(self, raw: bytes) -> None:
        kept = [raw]
        if self.wire is not None:
            now_ns = self._clock.now_ns()
            kept = [piece for _, piece in self.wire.mistreat(raw, now_ns, inbound=False)]
        for piece in kept:
            frame = decode_frame(piece) if self._can else BusFrame(0, piece)
            assert frame is not None
            self._waiting.append(frame)

    def receive_until(self, deadline_ns: int) -> list[BusFrame]:
        """The same; where there is nothing, time passes."""
        frames = self.receive_ready()
        if not frames:
            self._clock.sleep_until_ns(deadline_ns)
        return frames

    def close(self) -> None:
        """Nothing to close."""


class InlineRig:
    """A robot of one bus: its body, its bus, its clock."""

    def __init__(self, config: RobotConfig, pose: Sequence[float] | None = None) -> None:
        self.clock = FakeClock()
        start = None if pose is None else np.array(pose, np.float64)
        self.config = config
        self.body = Body(config, self.clock.now_ns(), start)
        self.bus = InlineBus(config.buses[0], self.body.buses[config.buses[0].name], self.clock)


class Inline(NamedTuple):
    """An open robot, all in one thread."""

    robot: Robot
    body: Body
    clock: FakeClock
    buses: dict[str, InlineBus]
    config: RobotConfig

    def mistreat(self, faults: Faults) -> None:
        """From now on."""
        for bus in self.config.buses:
            can = isinstance(bus, CanBus)
            wire = FaultyWire(bus.name, faults, can=can, start_ns=self.clock.now_ns())
            self.buses[bus.name].wire = wire


@contextmanager
def inline_robot(
    config: RobotConfig, pose: Sequence[float] | None = None, again: Inline | None = None
) -> Iterator[Inline]:
    """`open_robot` over buses without wires: bring-up, watchdog test and all.

    `again` with the body and the clock of one that is open, whose host is taken to have died.
    """
    clock = again.clock if again else FakeClock()
    start = None if pose is None else np.array(pose, np.float64)
    body = again.body if again else Body(config, clock.now_ns(), start)
    with inline_buses(body, clock) as buses, open_robot(config, clock) as robot:
        yield Inline(robot, body, clock, buses, config)


@contextmanager
def inline_buses(body: Body, clock: FakeClock) -> Iterator[dict[str, InlineBus]]:
    """Whoever opens a robot's bus in here is given one of these; gives those that were."""
    buses: dict[str, InlineBus] = {}

    def open_inline(bus: Bus, _: Clock) -> InlineBus:
        return buses.setdefault(bus.name, InlineBus(bus, body.buses[bus.name], clock))

    with mock.patch("neon_edge.transport.robot.open_bus", open_inline):
        yield buses
