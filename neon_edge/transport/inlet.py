"""Where messages come in: datagrams over UDP or a UNIX socket, or pieces of a serial line.

An inlet's `receive` gives one message, or raises OSError at once where there is none.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from neon_edge.errors import DeviceMissing
from neon_edge.transport.protocol.sealed import Raw, cut

QUEUE_BYTES = 16_384
"""The kernel doubles it and holds some 40 small readings in it: fewer than one tick takes, so that
none waits for a second tick."""
READINGS_A_LOOK = 64
"""Of a serial line, at most."""


class Inlet(NamedTuple):
    """An open one. What `receive` gives is valid until it is called again."""

    receive: Callable[[], Raw]
    close: Callable[[], None]


class Asked(NamedTuple):
    """On whose behalf, for errors."""

    what: str
    where: str
    """In the robot file."""

    def lost(self, device: str, why: str | None) -> DeviceMissing:
        """It cannot be opened."""
        return DeviceMissing(
            f"{self.what} cannot be opened",
            f"{device}: {why}",
            f"correct {self.where} in the robot file, or make what it names",
        )


def udp_inlet(address: str, port: int, size: int, asked: Asked) -> Inlet:
    """Datagrams of `size` bytes, sent there. Raises `DeviceMissing`."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, max(QUEUE_BYTES, size))
        listener.bind((address, port))
    except OSError as failure:
        listener.close()
        raise asked.lost(f"{address}:{port}", failure.strerror) from failure
    return _datagrams(listener, size, listener.close)


def unix_inlet(path: str, size: int, asked: Asked) -> Inlet:
    """Datagrams of `size` bytes, sent to a socket that is made at `path`. Raises `DeviceMissing`.

    What an earlier run left there is replaced; what somebody listens at, or is no socket, is not.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        _clear(Path(path), asked)
        listener.bind(path)
    except OSError as failure:
        listener.close()
        raise asked.lost(path, failure.strerror or str(failure)) from failure
    except BaseException:
        listener.close()
        raise

    def close() -> None:
        listener.close()
        with suppress(OSError):
            Path(path).unlink()

    return _datagrams(listener, size, close)


def _clear(path: Path, asked: Asked) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise asked.lost(str(path), "there is something else than a socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise asked.lost(str(path), "somebody listens there already")


def _datagrams(listener: socket.socket, size: int, close: Callable[[], None]) -> Inlet:
    listener.setblocking(False)
    # One byte more: what is too long must not pass for whole.
    buffer = memoryview(bytearray(size + 1))

    def receive() -> Raw:
        return buffer[: listener.recv_into(buffer)]

    return Inlet(receive, close)


def serial_inlet(channel: str, baud: int, magic: bytes, size: int, asked: Asked) -> Inlet:
    """Sealed messages of `size` bytes, one behind another. Raises `DeviceMissing`."""
    import serial

    try:
        port = serial.Serial(channel, baud, timeout=0)
    except (OSError, ValueError) as failure:
        raise asked.lost(channel, str(failure)) from failure
    return Inlet(_Line(port.fileno(), magic, size).receive, port.close)


class _Line:
    """Messages out of a serial line's bytes."""

    def __init__(self, descriptor: int, magic: bytes, size: int) -> None:
        self._descriptor = descriptor
        self._magic, self._size = magic, size
        self._stream = bytearray()
        self._cut: list[bytes] = []

    def receive(self) -> bytes:
        """The next whole one; raises `BlockingIOError` where there is none."""
        if not self._cut:
            self._stream += os.read(self._descriptor, READINGS_A_LOOK * self._size)
            self._cut = list(cut(self._stream, self._magic, self._size))[::-1]
        if not self._cut:
            raise BlockingIOError
        return self._cut.pop()
