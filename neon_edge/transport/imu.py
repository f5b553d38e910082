"""The IMU's end of the wire: how the base leans and turns, read by the tick without waiting.

Safety judges its silence (`imu_silent_after_ms`).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from neon_edge.clock import Clock
from neon_edge.config.imu import Imu, SerialImu, UdpImu
from neon_edge.transport.hearing import Hearing
from neon_edge.transport.inlet import Asked, serial_inlet, udp_inlet
from neon_edge.transport.protocol.attitude import (
    MAGIC,
    READING_BYTES,
    Reading,
    decode_reading,
    tilt_rad,
)
from neon_edge.transport.protocol.sealed import Raw
from neon_edge.types import Health

_ASKED = Asked("the IMU", "[imu]")


class ImuLink:
    """One IMU. `receive` gives one message or raises OSError where there is none. One thread."""

    def __init__(self, receive: Callable[[], Raw], close: Callable[[], None], clock: Clock) -> None:
        self._hearing = Hearing(receive, close, clock, decode_reading, self._keep)
        self.counters = self._hearing.counters
        self._tilt_rad = self._turn_rad_s = 0.0

    def read(self, health: Health) -> None:
        """Put the newest reading that is in into `health`; never waits."""
        self._hearing.read()
        health.imu_ns = self._hearing.heard_ns
        health.tilt_rad, health.turn_rad_s = self._tilt_rad, self._turn_rad_s

    def _keep(self, reading: Reading) -> None:
        self._tilt_rad = tilt_rad(reading.orientation)
        self._turn_rad_s = math.hypot(*reading.turn)

    def close(self) -> None:
        """Let go of it."""
        self._hearing.close()


def open_imu(config: Imu, clock: Clock) -> ImuLink:
    """Open what the robot file names. Raises `DeviceMissing`."""
    match config:
        case UdpImu():
            inlet = udp_inlet(config.address, config.port, READING_BYTES, _ASKED)
        case SerialImu():
            inlet = serial_inlet(config.channel, config.baud, MAGIC, READING_BYTES, _ASKED)
    return ImuLink(inlet.receive, inlet.close, clock)
