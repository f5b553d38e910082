"""The IMU's end of the wire: how the base leans and turns, read by the tick without waiting.

What is damaged, said twice or not said is silence, and silence is what safety judges
(`imu_silent_after_ms`).
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

from neon_edge.clock import Clock
from neon_edge.config.imu import Imu, SerialImu, UdpImu
from neon_edge.errors import DeviceMissing
from neon_edge.transport.protocol.attitude import (
    READING_BYTES,
    Reading,
    cut,
    decode_reading,
    tilt_rad,
)
from neon_edge.transport.protocol.velocity import is_newer
from neon_edge.types import Health

MOST_A_READ = 64
"""Readings taken in one tick: no sender can keep us reading."""
QUEUE_BYTES = 16_384
"""The kernel doubles it and holds some 40 readings in it: fewer than one tick takes, so that
none waits for a second tick."""
LINE_BYTES = MOST_A_READ * READING_BYTES
TAKEOVER_NS = 500_000_000
"""After this long a silence another sender is believed, or the same one started anew."""


@dataclass(slots=True)
class ImuCounters:
    """What has come since the IMU was opened."""

    readings: int = 0
    """Taken."""
    damaged: int = 0
    """No reading of ours, not finite, or not of unit length."""
    old: int = 0
    """Not newer than the one before, or of another sender than the one that is followed."""


class ImuLink:
    """One IMU. `receive` gives one message or raises OSError where there is none. One thread."""

    def __init__(
        self, receive: Callable[[], bytes], close: Callable[[], None], clock: Clock
    ) -> None:
        self._receive = receive
        self._close = close
        self._clock = clock
        self.counters = ImuCounters()
        self._last: Reading | None = None
        self._heard_ns = 0

    def read(self, health: Health) -> None:
        """Put the newest reading that is in into `health`; never waits."""
        now_ns = self._clock.now_ns()
        # A source that is gone is a silent one.
        with contextlib.suppress(OSError):
            for _ in range(MOST_A_READ):
                self._take(self._receive(), now_ns)
        health.imu_ns = self._heard_ns
        if self._last is not None:
            health.tilt_rad = tilt_rad(self._last.orientation)
            health.turn_rad_s = math.hypot(*self._last.turn)

    def _take(self, raw: bytes, now_ns: int) -> None:
        reading = decode_reading(raw)
        if reading is None:
            self.counters.damaged += 1
        elif not self._is_next(reading, now_ns):
            self.counters.old += 1
        else:
            self.counters.readings += 1
            self._last, self._heard_ns = reading, now_ns

    def _is_next(self, reading: Reading, now_ns: int) -> bool:
        last = self._last
        if last is None:
            return True
        if reading.session != last.session:
            return now_ns - self._heard_ns > TAKEOVER_NS
        return is_newer(reading.sequence, last.sequence) and reading.at_ns > last.at_ns

    def close(self) -> None:
        """Let go of it."""
        self._close()


def open_imu(config: Imu, clock: Clock) -> ImuLink:
    """Open what the robot file names. Raises `DeviceMissing`."""
    match config:
        case UdpImu():
            listener = _listen(config)
            return ImuLink(lambda: listener.recv(2 * READING_BYTES), listener.close, clock)
        case SerialImu():
            line = _Line(config)
            return ImuLink(line.receive, line.close, clock)


class _Line:
    """Readings out of a serial line's bytes."""

    def __init__(self, config: SerialImu) -> None:
        import serial

        try:
            self._port = serial.Serial(config.channel, config.baud, timeout=0)
        except (OSError, ValueError) as failure:
            raise _lost(config.channel, str(failure)) from failure
        self._descriptor: int = self._port.fileno()
        self._stream = bytearray()
        self._cut: list[bytes] = []

    def receive(self) -> bytes:
        """The next whole reading; raises `BlockingIOError` where there is none."""
        if not self._cut:
            self._stream += os.read(self._descriptor, LINE_BYTES)
            self._cut = list(cut(self._stream))[::-1]
        if not self._cut:
            raise BlockingIOError
        return self._cut.pop()

    def close(self) -> None:
        self._port.close()


def _listen(config: UdpImu) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, QUEUE_BYTES)
        listener.bind((config.address, config.port))
    except OSError as failure:
        listener.close()
        raise _lost(f"{config.address}:{config.port}", failure.strerror) from failure
    listener.setblocking(False)
    return listener


def _lost(where: str, why: str | None) -> DeviceMissing:
    return DeviceMissing(
        "the IMU cannot be opened",
        f"{where}: {why}",
        "correct [imu] in the robot file, or make what it names",
    )
