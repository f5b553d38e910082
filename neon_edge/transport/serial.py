"""A serial line: pyserial opens it, the kernel's own calls move the bytes.

pyserial's `read` selects and copies more than a tick can spare; after it has set the line up we
read and write its descriptor, which is non-blocking.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
from collections.abc import Sequence

import serial

from neon_edge.clock import Clock
from neon_edge.config import SerialBus
from neon_edge.errors import BusFailed, ConfigWrong, DeviceMissing
from neon_edge.transport.bus import BusCounters, Tap
from neon_edge.types import BusFrame

READ_BYTES = 4096
WRITE_NS = 5_000_000
"""A tick's bytes fit the kernel's buffer; a line that takes none for 5 ms is not moving."""


class SerialLine:
    """An open serial port. Frames are pieces of the stream; their ids mean nothing."""

    def __init__(self, name: str, channel: str, port: serial.Serial, clock: Clock) -> None:
        self.name = name
        self.counters = BusCounters()
        self.tap: Tap | None = None
        self._channel = channel
        self._port = port
        self._descriptor: int = port.fileno()
        self._clock = clock
        self._poll = select.poll()
        self._poll.register(self._descriptor, 0)

    def send(self, frames: Sequence[BusFrame]) -> int:
        """Write all of it. Raises `BusFailed` when the line takes no bytes for 5 ms."""
        pieces = b"".join([frame.payload for frame in frames])
        deadline_ns = self._clock.now_ns() + WRITE_NS
        while True:
            try:
                written = os.write(self._descriptor, pieces)
            except BlockingIOError:
                written = 0
            except OSError as failure:
                raise self._failed(failure) from failure
            if written and self.tap is not None:
                self.tap(self.name, True, pieces[:written])
            if written == len(pieces):
                self.counters.frames_sent += len(frames)
                return len(frames)
            pieces = pieces[written:]
            self._wait_writable(deadline_ns)

    def _wait_writable(self, deadline_ns: int) -> None:
        self.counters.queue_full += 1
        left_ns = deadline_ns - self._clock.now_ns()
        ready = left_ns > 0 and select.select([], [self._descriptor], [], left_ns / 1e9)[1]
        if not ready:
            raise self._failed(OSError(errno.ETIMEDOUT, "the line takes no more bytes"))

    def receive_ready(self) -> list[BusFrame]:
        """One frame with every byte that is there, or none."""
        pieces: list[BusFrame] = []
        while True:
            try:
                piece = os.read(self._descriptor, READ_BYTES)
            except BlockingIOError:
                break
            except OSError as failure:
                raise self._failed(failure) from failure
            if not piece:
                self._check_hung_up()
                break
            if self.tap is not None:
                self.tap(self.name, False, piece)
            pieces.append(BusFrame(0, piece))
            if len(piece) < READ_BYTES:
                break
        self.counters.frames_received += len(pieces)
        return pieces

    def _check_hung_up(self) -> None:
        # A line that was hung up reads as one with nothing to say.
        if self._poll.poll(0):
            raise self._failed(OSError(errno.EIO, "the line was hung up"))

    def receive_until(self, deadline_ns: int) -> list[BusFrame]:
        """Wait for the next bytes, at most until `deadline_ns`."""
        left_ns = deadline_ns - self._clock.now_ns()
        if left_ns > 0:
            select.select([self._descriptor], [], [], left_ns / 1e9)
        return self.receive_ready()

    def fileno(self) -> int:
        """The port's descriptor, to wait for several lines at once."""
        return self._descriptor

    def close(self) -> None:
        """Close the port."""
        self._port.close()

    def _failed(self, failure: OSError) -> BusFailed:
        return BusFailed(
            f"bus {self.name!r} failed",
            f"channel {self._channel}: {failure.strerror or failure}",
            "check the adapter, the cable and the motors' power; then start again",
        )


def open_serial(config: SerialBus, clock: Clock) -> SerialLine:
    """Open for us alone, at the robot file's baud. Raises `DeviceMissing` when it cannot be."""
    if config.channel == "sim":
        raise ConfigWrong(
            f"bus {config.name!r} is simulated and nothing simulates it",
            'channel "sim"',
            "start the emulated motors first, or name a serial device",
        )
    try:
        port = serial.Serial(config.channel, config.baud, timeout=0, exclusive=True)
    except (OSError, ValueError) as failure:
        raise DeviceMissing(
            f"bus {config.name!r} cannot be opened",
            f"channel {config.channel}: {failure}",
            "check the name, that nothing else has it open, and that you may use it (dialout)",
        ) from failure
    # Only some adapters have the knob (FTDI's latency timer); others are fast without it.
    with contextlib.suppress(OSError, ValueError, NotImplementedError, AttributeError):
        port.set_low_latency_mode(True)
    port.reset_input_buffer()
    return SerialLine(config.name, config.channel, port, clock)
