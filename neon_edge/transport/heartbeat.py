"""The heartbeat for an external relay: something changes every tick while the robot is well.

A relay that cuts motor power when it stops hears of a loop that hangs, a process that is gone and a
machine that is dead. What cannot be sent is counted: the relay then acts, and the run goes on.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Sequence

from neon_edge.clock import Clock
from neon_edge.config import Bus
from neon_edge.config.stopping import CanBeat, GpioBeat, Heartbeat, SerialBeat, UdpBeat
from neon_edge.errors import DeviceMissing, NeonEdgeError
from neon_edge.transport.bus import open_bus
from neon_edge.transport.gpio import OUTPUT, Pin
from neon_edge.types import BusFrame, Rung


class Pulse:
    """Calls `send` with 0, 1, 2, … 255, 0, … once a tick, while the rung allows it.

    `rest` is called when it begins to be silent.
    """

    def __init__(
        self,
        send: Callable[[int], object],
        close: Callable[[], None],
        while_damped: bool,
        rest: Callable[[], object] = lambda: None,
    ) -> None:
        self._send = send
        self._close = close
        self._rest = rest
        self._lowest = Rung.DAMP if while_damped else Rung.HOLD
        self._count = 0
        self._beating = False
        self.failures = 0
        """Beats that could not be sent."""

    def tick(self, rung: Rung) -> None:
        """Behind the commands of a tick that stands on `rung`."""
        if rung > self._lowest:
            self._silence()
            return
        self._beating = True
        try:
            self._send(self._count)
        except (OSError, NeonEdgeError):
            self.failures += 1
        self._count = (self._count + 1) & 0xFF

    def _silence(self) -> None:
        if self._beating:
            self._beating = False
            with contextlib.suppress(OSError, NeonEdgeError):
                self._rest()

    def close(self) -> None:
        """Fall silent for good."""
        self._silence()
        self._close()


def open_heartbeat(config: Heartbeat, buses: Sequence[Bus], clock: Clock) -> Pulse:
    """Open what the robot file names. Raises `DeviceMissing`."""
    match config:
        case GpioBeat():
            pin = Pin(config.chip, config.line, OUTPUT)
            return Pulse(
                lambda count: pin.write(bool(count & 1)),
                pin.close,
                config.while_damped,
                lambda: pin.write(False),
            )
        case SerialBeat():
            return _serial(config)
        case UdpBeat():
            speaker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            speaker.setblocking(False)
            target = (config.address, config.port)
            return Pulse(
                lambda count: speaker.sendto(bytes((count,)), target),
                speaker.close,
                config.while_damped,
            )
        case CanBeat():
            # A connection of its own: the motors' frames are none of its business.
            bus = open_bus(next(bus for bus in buses if bus.name == config.bus), clock)
            return Pulse(
                lambda count: bus.send([BusFrame(config.id, bytes((count,)))]),
                bus.close,
                config.while_damped,
            )


def _serial(config: SerialBeat) -> Pulse:
    import serial

    try:
        port = serial.Serial(config.channel, config.baud, timeout=0, write_timeout=0)
    except (OSError, ValueError) as failure:
        raise DeviceMissing(
            "the heartbeat's line cannot be opened",
            f"{config.channel}: {failure}",
            "correct [heartbeat] in the robot file",
        ) from failure
    return Pulse(lambda count: port.write(bytes((count,))), port.close, config.while_damped)
