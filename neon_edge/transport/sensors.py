"""Live sensors: the newest reading of each, taken by the tick without waiting.

Safety judges their silence (each one's `stale_after_ms`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np

from neon_edge.clock import Clock
from neon_edge.config.sensors import LiveSensor, SerialSensor, UdpSensor, UnixSensor
from neon_edge.transport.hearing import MOST_A_READ, Hearing, HearingCounters
from neon_edge.transport.inlet import Asked, Inlet, serial_inlet, udp_inlet, unix_inlet
from neon_edge.transport.protocol.values import MAGIC, Values, ValuesDecoder, values_bytes
from neon_edge.types import Float32, Int64

MOST_BYTES_A_READ = 1 << 18
"""Of one sensor in one tick: a quarter of a millisecond's checksums."""
LEAST_A_READ = 4
WAITING = 1024
"""Messages that may have queued up while motors were brought up."""


class Readings:
    """The newest of every live sensor, in the robot file's order; overwritten in place."""

    def __init__(self, sensors: Sequence[LiveSensor]) -> None:
        self.values: Float32 = np.zeros(sum(sensor.size for sensor in sensors), np.float32)
        """All numbers, one sensor's behind another's."""
        self.heard_ns: Int64 = np.zeros(len(sensors), np.int64)
        """When each was heard last; 0 for never."""
        self.by_name: dict[str, Float32] = {}
        """Views of `values`, each in its sensor's shape."""
        at = 0
        for sensor in sensors:
            self.by_name[sensor.name] = self.values[at : at + sensor.size].reshape(sensor.shape)
            at += sensor.size


class LiveSensors:
    """The open ones. One thread. Raises `DeviceMissing`, with nothing left open."""

    def __init__(self, sensors: Sequence[LiveSensor], clock: Clock) -> None:
        self.readings = Readings(sensors)
        self._links: list[_Link] = []
        with ExitStack() as opened:
            for sensor in sensors:
                link = _Link(sensor, self.readings.by_name[sensor.name], clock)
                opened.callback(link.hearing.close)
                self._links.append(link)
            self._opened = opened.pop_all()

    def read(self) -> None:
        """Take the newest that is in; never waits."""
        for at, link in enumerate(self._links):
            link.hearing.read(link.most)
            self.readings.heard_ns[at] = link.hearing.heard_ns

    def catch_up(self) -> None:
        """Take all that has queued up, so that nothing old passes for new. No tick's work."""
        for link in self._links:
            link.hearing.read(WAITING)
        self.read()

    @property
    def unheard(self) -> list[str]:
        """Names of those that have not spoken since they were opened."""
        return [link.name for link in self._links if not link.hearing.heard_ns]

    @property
    def counters(self) -> dict[str, HearingCounters]:
        """What has come, by name."""
        return {link.name: link.hearing.counters for link in self._links}

    def close(self) -> None:
        """Let go of all of them."""
        self._opened.close()


class _Link:
    """One sensor, whose readings are copied into `kept`."""

    def __init__(self, sensor: LiveSensor, kept: Float32, clock: Clock) -> None:
        self.name = sensor.name
        self._kept = kept.reshape(-1)
        inlet = _open(sensor)
        decode = ValuesDecoder(sensor.size)
        self.hearing = Hearing(inlet.receive, inlet.close, clock, decode, self._keep)
        share = MOST_BYTES_A_READ // values_bytes(sensor.size)
        self.most = min(max(share, LEAST_A_READ), MOST_A_READ)
        """Messages taken in one tick."""

    def _keep(self, reading: Values) -> None:
        np.copyto(self._kept, reading.numbers)


def _open(sensor: LiveSensor) -> Inlet:
    asked, size = Asked(f"sensor {sensor.name!r}", "its [[sensors]]"), values_bytes(sensor.size)
    match sensor:
        case UdpSensor():
            return udp_inlet(sensor.address, sensor.port, size, asked)
        case UnixSensor():
            return unix_inlet(sensor.path, size, asked)
        case SerialSensor():
            return serial_inlet(sensor.channel, sensor.baud, MAGIC, size, asked)
