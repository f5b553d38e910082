"""SocketCAN with the standard library; the same code over a Unix socket for emulated motors.

Only the address family differs: "can0" is AF_CAN, "unix:PATH" is AF_UNIX SOCK_SEQPACKET, which
keeps the boundaries of the very structs that the kernel's CAN socket carries.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from neon_edge.clock import Clock
from neon_edge.config import CanBus
from neon_edge.errors import BusFailed, ConfigWrong, DeviceMissing
from neon_edge.transport.bus import BusCounters, Tap
from neon_edge.transport.can_block import CAPACITY, Frames, Heads, Incoming, Outgoing
from neon_edge.transport.protocol.socketcan import (
    BUS_OFF,
    ERROR_FLAG,
    decode_frame,
    encode_frame,
)
from neon_edge.types import BusFrame

RETRY_NS = 100_000
RETRIES = 20
"""100 µs apart: a full queue of ten classic frames needs 1.3 ms to drain at 1 Mb/s."""

_SIOCGIFFLAGS = 0x8913
_IFF_UP = 0x1
_FULL = (errno.ENOBUFS, errno.EAGAIN)


class Received(NamedTuple):
    """A block of frames, overwritten by the next."""

    words: list[int] | None
    """The payloads as numbers, first byte highest, where just the expected frames came; in the
    order in which they are expected."""
    frames: Frames
    """Otherwise the plain ones: of a wanted kind, standard id, eight bytes."""
    over: bool
    """Whether the kernel holds no more."""


class CanSocket:
    """A bound CAN socket, or its Unix twin."""

    def __init__(
        self,
        name: str,
        channel: str,
        connection: socket.socket,
        clock: Clock,
        *,
        fd: bool = False,
    ) -> None:
        self.name = name
        self.fd = fd
        """Whether frames on it may be flexible ones."""
        self.counters = BusCounters()
        self.tap: Tap | None = None
        self._channel = channel
        self._socket = connection
        self._clock = clock
        self._incoming = Incoming(fd=fd)

    def send(self, frames: Sequence[BusFrame]) -> int:
        """Send in order; stop at the first frame that the queue refuses for 2 ms."""
        sent = 0
        for frame in frames:
            raw = encode_frame(frame)
            if not self._send_one(raw):
                self.counters.frames_dropped += len(frames) - sent
                break
            if self.tap is not None:
                self.tap(self.name, True, raw)
            sent += 1
        self.counters.frames_sent += sent
        return sent

    def _send_one(self, raw: bytes) -> bool:
        # The socket stays writable while the queue behind it is full, so polling it says nothing.
        for _ in range(RETRIES):
            try:
                self._socket.send(raw)
                return True
            except OSError as failure:
                if failure.errno not in _FULL:
                    raise self._failed(failure) from failure
                self.counters.queue_full += 1
            self._clock.sleep_until_ns(self._clock.now_ns() + RETRY_NS)
        return False

    def send_block(self, block: Outgoing) -> int:
        """The same for a whole block, in one call as long as the queue takes it."""
        try:
            sent = block.send(self._socket.fileno())
        except OSError as failure:
            if failure.errno not in _FULL:
                raise self._failed(failure) from failure
            sent = 0
        while sent < len(block.frames):
            if not self._send_one(block.raw(sent)):
                self.counters.frames_dropped += len(block.frames) - sent
                break
            sent += 1
        if self.tap is not None:
            self._tell_block(self.tap, block, sent)
        self.counters.frames_sent += sent
        return sent

    def receive_ready(self) -> list[BusFrame]:
        """Everything the kernel holds for us."""
        frames: list[BusFrame] = []
        count = CAPACITY
        while count == CAPACITY:
            count = self._receive()
            self._tell(count)
            for place in range(count):
                self._sort(self._incoming.raw(place), frames)
        self.counters.frames_received += len(frames)
        return frames

    def receive_block(self, heads: Heads) -> Received:
        """Up to `CAPACITY` frames, most cheaply where they are those of `heads`, and no others."""
        count = self._receive()
        incoming = self._incoming
        self.counters.frames_received += count
        words = incoming.exactly(heads, count)
        if words is not None:
            if self.tap is not None and not self.fd:
                self.tap(self.name, False, incoming.classic(count))
            elif self.fd:
                self._tell(count)
            return Received(words, incoming.frames[:0], over=True)
        self._tell(count)
        plain = incoming.plain(count)
        for place in np.flatnonzero(~plain).tolist():
            # Nothing of these is anyone's state, but the bus may be telling of its errors.
            self._sort(incoming.raw(place), [])
        return Received(None, incoming.frames[:count][plain], over=count < CAPACITY)

    def _tell_block(self, tap: Tap, block: Outgoing, sent: int) -> None:
        # Flexible frames are told one by one: `Tap` has several at once of classic ones only.
        if not block.fd:
            tap(self.name, True, block.frames[:sent].tobytes())
            return
        for place in range(sent):
            tap(self.name, True, block.raw(place))

    def _tell(self, count: int) -> None:
        if self.tap is not None:
            for place in range(count):
                self.tap(self.name, False, self._incoming.raw(place))

    def _receive(self) -> int:
        try:
            return self._incoming.receive(self._socket.fileno())
        except BlockingIOError:
            return 0
        except OSError as failure:
            raise self._failed(failure) from failure

    def _sort(self, raw: bytes, frames: list[BusFrame]) -> None:
        if not raw:
            raise self._failed(OSError(errno.EPIPE, "the other end is closed"))
        frame = decode_frame(raw)
        if frame is None:
            return
        if frame.arbitration_id & ERROR_FLAG:
            self._count_error(frame)
        else:
            frames.append(frame)

    def _count_error(self, frame: BusFrame) -> None:
        self.counters.error_frames += 1
        if frame.arbitration_id & BUS_OFF:
            raise self._failed(OSError(errno.ENETDOWN, "the controller went bus-off"))

    def receive_until(self, deadline_ns: int) -> list[BusFrame]:
        """Wait for the next frames, at most until `deadline_ns`."""
        left_ns = deadline_ns - self._clock.now_ns()
        if left_ns > 0:
            select.select([self._socket], [], [], left_ns / 1e9)
        return self.receive_ready()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _failed(self, failure: OSError) -> BusFailed:
        return BusFailed(
            f"bus {self.name!r} failed",
            f"channel {self._channel}: {failure.strerror or failure}",
            "check the cable, the motors' power and 'ip -details link'; then start again",
        )


def open_can(config: CanBus, clock: Clock) -> CanSocket:
    """Open "can0" or "unix:PATH". Raises `DeviceMissing` when it is absent or down."""
    if config.channel == "sim":
        raise ConfigWrong(
            f"bus {config.name!r} is simulated and nothing simulates it",
            'channel "sim"',
            "start the emulated motors first, or name a CAN interface",
        )
    try:
        if config.channel.startswith("unix:"):
            connection = _connect_unix(config.channel.removeprefix("unix:"))
        else:
            connection = _bind_can(config)
    except OSError as failure:
        raise DeviceMissing(
            f"bus {config.name!r} cannot be opened",
            f"channel {config.channel}: {failure.strerror or failure}",
            _how_to_bring_up(config),
        ) from failure
    connection.setblocking(False)
    return CanSocket(config.name, config.channel, connection, clock, fd=config.fd)


def _how_to_bring_up(config: CanBus) -> str:
    if config.channel.startswith("unix:"):
        return "start the emulated motors that listen there"
    return f"sudo ip link set {config.channel} up type can bitrate {config.bit_rate}"


def _connect_unix(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with _closed_on_failure(connection):
        connection.connect(path)
    return connection


def _bind_can(config: CanBus) -> socket.socket:
    connection = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
    with _closed_on_failure(connection):
        if not _is_up(connection, config.channel):
            raise OSError(errno.ENETDOWN, "the interface is down")
        # Everything the controller has to say about its errors, as frames.
        connection.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_ERR_FILTER, 0x1FFF_FFFF)
        if config.fd:
            connection.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FD_FRAMES, 1)
        connection.bind((config.channel,))
    return connection


def _is_up(connection: socket.socket, interface: str) -> bool:
    if len(interface.encode()) > 15:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
    request = struct.pack("16sh14x", interface.encode(), 0)
    answer = fcntl.ioctl(connection, _SIOCGIFFLAGS, request)
    flags: int = struct.unpack("16sh14x", answer)[1]
    return bool(flags & _IFF_UP)


@contextlib.contextmanager
def _closed_on_failure(connection: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise
