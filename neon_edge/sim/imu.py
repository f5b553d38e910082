"""An emulated IMU: says over UDP how a base stands, as transport/protocol/attitude.py has it."""

from __future__ import annotations

import contextlib
import math
import socket

from neon_edge.clock import Clock
from neon_edge.transport.protocol.attitude import Quaternion, Reading, Turn, encode_reading

UPRIGHT: Quaternion = (1.0, 0.0, 0.0, 0.0)
AT_REST: Turn = (0.0, 0.0, 0.0)


def leaning(by_rad: float) -> Quaternion:
    """A base that has tipped forward by so much."""
    return math.cos(by_rad / 2), 0.0, math.sin(by_rad / 2), 0.0


class EmulatedImu:
    """A sender of readings to one address; `orientation` and `turn` are what it measures."""

    def __init__(self, address: str, port: int, clock: Clock) -> None:
        self._clock = clock
        self._target = (address, port)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._session = clock.now_ns() // 1000 & 0xFFFFFFFF
        self._sequence = 0
        self.orientation = UPRIGHT
        self.turn = AT_REST

    def measure(self) -> bytes:
        """The next reading, as it would be sent."""
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        return encode_reading(
            Reading(
                self._session, self._sequence, self._clock.now_ns(), self.orientation, self.turn
            )
        )

    def tell(self) -> None:
        """Measure and send; nobody may be listening yet."""
        with contextlib.suppress(OSError):
            self._socket.sendto(self.measure(), self._target)

    def close(self) -> None:
        """Fall silent."""
        self._socket.close()
