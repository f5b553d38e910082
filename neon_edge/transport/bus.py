"""What the robot needs of a bus, and which file opens which kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from neon_edge.clock import Clock
from neon_edge.config import Bus as BusConfig
from neon_edge.config import CanBus, SerialBus
from neon_edge.types import BusFrame


@dataclass(slots=True)
class BusCounters:
    """What one bus has seen since it was opened."""

    frames_sent: int = 0
    frames_received: int = 0
    frames_dropped: int = 0
    """Given up after every retry: the queue stayed full."""
    queue_full: int = 0
    """Times the kernel's queue was full (ENOBUFS) and the frame was tried again."""
    error_frames: int = 0
    """CAN error frames: the controller's own reports."""
    crc_errors: int = 0
    """Serial packets with a wrong CRC. Counted by whoever parses the stream."""


Tap = Callable[[str, bool, bytes], None]
"""Told the bus's name, whether we sent it, and what has passed: the kernel's CAN structs, one or
several of them, or a line's bytes."""


class Bus(Protocol):
    """Frames out and in. One thread owns a bus; nothing here blocks unless it says so."""

    name: str
    counters: BusCounters
    tap: Tap | None
    """Who is told of all that passes, within the call that moves it."""

    def send(self, frames: Sequence[BusFrame]) -> int:
        """Send in order; give how many went. A full queue is retried for a bounded time.

        Raises `BusFailed` when the bus is gone.
        """

    def receive_ready(self) -> list[BusFrame]:
        """What has already arrived; never waits. Raises `BusFailed` when the bus is gone."""

    def receive_until(self, deadline_ns: int) -> list[BusFrame]:
        """Wait for the next frames, at most until `deadline_ns`. For bring-up, not for the tick."""

    def close(self) -> None:
        """Let go of the device. Closing twice is harmless."""


def open_bus(config: BusConfig, clock: Clock) -> Bus:
    """Open what a robot file names. Raises `DeviceMissing` when it is not there."""
    match config:
        case CanBus() if ":" in config.channel and not config.channel.startswith("unix:"):
            from neon_edge.transport.python_can import open_python_can

            return open_python_can(config, clock)
        case CanBus():
            from neon_edge.transport.can import open_can

            return open_can(config, clock)
        case SerialBus():
            from neon_edge.transport.serial import open_serial

            return open_serial(config, clock)
