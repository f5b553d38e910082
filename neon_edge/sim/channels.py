"""Where a host plugs in: a pseudo-terminal for serial lines, a Unix socket for CAN."""

from __future__ import annotations

import contextlib
import os
import pty
import socket
import tty
from pathlib import Path
from typing import Protocol

from neon_edge.transport.protocol.socketcan import FLEXIBLE


class Channel(Protocol):
    """The motors' end of a bus. Hosts come and go; the motors stay."""

    name: str
    """What a robot file's `channel` must say to reach it."""

    def descriptors(self) -> list[int]:
        """File descriptors to wait on."""

    def receive(self, descriptor: int) -> list[bytes]:
        """What a host has sent there: CAN structs one at a time, serial bytes as they came."""

    def send(self, raw: bytes) -> None:
        """Bytes to every host; a host that does not read loses them."""

    def close(self) -> None:
        """Hang up, as an unplugged bus does."""


class PtyChannel:
    """A serial line. The host opens `name` as it would open a USB adapter."""

    def __init__(self) -> None:
        self._motor_end, self._host_end = pty.openpty()
        # Our own hold on the host's end keeps the line alive while nobody has it open.
        tty.setraw(self._host_end)
        os.set_blocking(self._motor_end, False)
        self.name = os.ttyname(self._host_end)

    def descriptors(self) -> list[int]:
        """The one end that motors read."""
        return [self._motor_end]

    def receive(self, descriptor: int) -> list[bytes]:
        """Bytes as they came."""
        try:
            return [os.read(descriptor, 4096)]
        except BlockingIOError:
            return []

    def send(self, raw: bytes) -> None:
        """Bytes to whoever has the line open."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._motor_end, raw)

    def close(self) -> None:
        """Hang up."""
        os.close(self._motor_end)
        os.close(self._host_end)


class SocketChannel:
    """A CAN bus as a listening AF_UNIX SOCK_SEQPACKET socket carrying the kernel's CAN structs.

    Like nodes on a bus, every host hears what the others send.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = f"unix:{path}"
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        path.unlink(missing_ok=True)
        self._listener.bind(str(path))
        self._listener.listen(4)
        self._listener.setblocking(False)
        self._hosts: dict[int, socket.socket] = {}

    def descriptors(self) -> list[int]:
        """The listener and every host."""
        return [self._listener.fileno(), *self._hosts]

    def receive(self, descriptor: int) -> list[bytes]:
        """Structs from one host, oldest first; or a new host, or one that has gone."""
        host = self._hosts.get(descriptor)
        if host is None:
            self._accept()
            return []
        structs: list[bytes] = []
        while True:
            try:
                raw = host.recv(FLEXIBLE.size)
            except BlockingIOError:
                break
            except OSError:
                raw = b""
            if not raw:
                self._drop(descriptor)
                break
            structs.append(raw)
        for raw in structs:
            self._broadcast(raw, but=descriptor)
        return structs

    def send(self, raw: bytes) -> None:
        """One struct to every host."""
        self._broadcast(raw, but=-1)

    def close(self) -> None:
        """Hang up and remove the socket."""
        for host in self._hosts.values():
            host.close()
        self._hosts.clear()
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            host, _ = self._listener.accept()
            host.setblocking(False)
            self._hosts[host.fileno()] = host

    def _broadcast(self, raw: bytes, but: int) -> None:
        for descriptor, host in list(self._hosts.items()):
            if descriptor == but:
                continue
            try:
                host.send(raw)
            except BlockingIOError:
                continue
            except OSError:
                self._drop(descriptor)

    def _drop(self, descriptor: int) -> None:
        self._hosts.pop(descriptor).close()
