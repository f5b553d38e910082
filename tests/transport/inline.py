"""A bus without a wire: our drivers and emulated motors in one thread, on a clock that is moved."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neon_edge.clock import FakeClock
from neon_edge.config import Bus, RobotConfig
from neon_edge.sim.body import Body
from neon_edge.sim.motors import Motors
from neon_edge.transport.bus import BusCounters
from neon_edge.transport.protocol.socketcan import decode_frame, encode_frame
from neon_edge.types import BusFrame


class InlineBus:
    """What is sent has been heard and answered before `send` returns."""

    def __init__(self, config: Bus, motors: Motors, clock: FakeClock) -> None:
        self.name = config.name
        self.counters = BusCounters()
        self.motors = motors
        self._clock = clock
        self._can = config.__struct_config__.tag == "can"
        self._waiting: list[BusFrame] = []

    def send(self, frames: Sequence[BusFrame]) -> int:
        """Let the motors hear and answer."""
        for frame in frames:
            raw = encode_frame(frame) if self._can else frame.payload
            for reply in self.motors.hear(raw, self._clock.now_ns()):
                answer = decode_frame(reply.raw) if self._can else BusFrame(0, reply.raw)
                assert answer is not None
                self._waiting.append(answer)
        return len(frames)

    def receive_ready(self) -> list[BusFrame]:
        """What has been answered, and what the motors say unasked."""
        for reply in self.motors.speak(self._clock.now_ns()):
            frame = decode_frame(reply.raw)
            assert frame is not None
            self._waiting.append(frame)
        waiting, self._waiting = self._waiting, []
        return waiting

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
