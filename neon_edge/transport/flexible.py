"""A CAN FD bus for motors whose dialect speaks of classic frames: the same bytes, faster."""

from __future__ import annotations

from collections.abc import Sequence

from neon_edge.transport.bus import Bus, Tap
from neon_edge.types import BusFrame


class FlexibleBus:
    """Every frame goes out as FD with bit-rate switch: without it an FD frame gains nothing."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.name = bus.name
        self.counters = bus.counters

    @property
    def tap(self) -> Tap | None:
        """The bus's own: it sees frames as they go out."""
        return self._bus.tap

    @tap.setter
    def tap(self, tap: Tap | None) -> None:
        self._bus.tap = tap

    def send(self, frames: Sequence[BusFrame]) -> int:
        """As the bus does."""
        return self._bus.send([f._replace(fd=True, bit_rate_switch=True) for f in frames])

    def receive_ready(self) -> list[BusFrame]:
        """As the bus does."""
        return self._bus.receive_ready()

    def receive_until(self, deadline_ns: int) -> list[BusFrame]:
        """As the bus does."""
        return self._bus.receive_until(deadline_ns)

    def close(self) -> None:
        """As the bus does."""
        self._bus.close()
