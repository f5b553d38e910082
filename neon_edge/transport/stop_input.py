"""The e-stop's input: normally closed, so that whatever loses it is a stop.

Read by the control process itself, at every tick, with system calls that never wait: no other
process has to live for a stop to be heard.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Callable, Iterator
from typing import Protocol

from neon_edge.clock import Clock
from neon_edge.config.stopping import GpioStop, PipeStop, StopInput, UdpStop
from neon_edge.errors import DeviceMissing
from neon_edge.transport.gpio import ACTIVE_LOW, BIAS, EDGE_FALLING, INPUT, Pin

WELL = 1
"""First byte of a datagram, each byte of a pipe, while nobody wants a stop."""
_MOST = 1024
"""Messages taken in one look: a flood may not keep the tick."""


class Stopper(Protocol):
    """What may stop the robot."""

    @property
    def pressed(self) -> bool:
        """Whether the robot must stop now."""

    def close(self) -> None:
        """Let go of it."""


class ContactStop:
    """A contact on a GPIO line; a press between two ticks is not missed."""

    def __init__(self, pin: Pin) -> None:
        self._pin = pin

    @property
    def pressed(self) -> bool:
        """Open now, or opened since the last look, or out of reach."""
        try:
            opened = self._pin.fell()
            return opened or not self._pin.read()
        except OSError:
            return True

    def close(self) -> None:
        """Give the line back."""
        self._pin.close()


class HeartbeatStop:
    """Somebody else's heartbeat. `receive` gives one message, b"" for a closed end, or raises."""

    def __init__(
        self,
        receive: Callable[[], bytes],
        close: Callable[[], None],
        whole: bool,
        timeout_ms: float,
        clock: Clock,
    ) -> None:
        self._receive = receive
        self._close = close
        self._whole = whole
        self._timeout_ns = round(timeout_ms * 1e6)
        self._clock = clock
        self._heard_ns = -self._timeout_ns - 1

    @property
    def pressed(self) -> bool:
        """A stop was said, or nothing for too long, from the beginning on."""
        now_ns, said = self._clock.now_ns(), False
        for message in self._messages():
            said |= set(message if self._whole else message[:1]) != {WELL}
            self._heard_ns = now_ns
        return said or now_ns - self._heard_ns > self._timeout_ns

    def _messages(self) -> Iterator[bytes]:
        # A broken source is a silent one.
        with contextlib.suppress(OSError):
            for _ in range(_MOST):
                message = self._receive()
                if not message and self._whole:
                    return
                yield message

    def close(self) -> None:
        """Let go of the source."""
        self._close()


def open_stop_input(config: StopInput, clock: Clock) -> ContactStop | HeartbeatStop:
    """Open what the robot file names. Raises `DeviceMissing`."""
    match config:
        case GpioStop():
            # Active means closed, so that an edge down is a contact that opens.
            flags = INPUT | EDGE_FALLING | BIAS[config.bias]
            flags |= ACTIVE_LOW if config.closed == "low" else 0
            debounce_us = round(config.debounce_ms * 1e3)
            return ContactStop(Pin(config.chip, config.line, flags, debounce_us))
        case UdpStop():
            listener = _listen(config)
            return HeartbeatStop(
                lambda: listener.recv(64), listener.close, False, config.timeout_ms, clock
            )
        case PipeStop():
            descriptor = _open_pipe(config)
            return HeartbeatStop(
                lambda: os.read(descriptor, 4096),
                lambda: os.close(descriptor),
                True,
                config.timeout_ms,
                clock,
            )


def _listen(config: UdpStop) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        listener.bind((config.address, config.port))
    except OSError as failure:
        listener.close()
        raise _lost(f"{config.address}:{config.port}", failure) from failure
    listener.setblocking(False)
    return listener


def _open_pipe(config: PipeStop) -> int:
    try:
        descriptor = os.open(config.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as failure:
        raise _lost(config.path, failure) from failure
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _lost(config.path, OSError("not a FIFO"))
    return descriptor


def _lost(where: str, failure: OSError) -> DeviceMissing:
    return DeviceMissing(
        "the e-stop's input cannot be opened",
        f"{where}: {failure.strerror or failure}",
        "correct [stop_input] in the robot file, or make what it names",
    )
