"""The supervisor's side of sd_notify(3): READY, STATUS, WATCHDOG and STOPPING, one datagram each.

READY says that every motor has answered and ticks run; WATCHDOG is sent only while new ticks keep
arriving, so that a loop that hangs is a dead service, and while the supervisor itself is bringing a
dead control process back. Without systemd nothing is sent.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from neon_edge.clock import Clock

STATUS_EVERY_NS = 1_000_000_000
RUNNING = "running"


class Notifier:
    """Datagrams to the socket that `NOTIFY_SOCKET` names; none where it names none.

    A service manager that is gone or slow stops no robot: what cannot be sent is dropped.
    """

    def __init__(self, address: str) -> None:
        # A leading @ stands for the zero byte of Linux's abstract namespace (sd_notify(3)).
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)

    def tell(self, *assignments: str) -> bool:
        """Send `KEY=value` lines in one datagram. True if it went."""
        if self._socket is None:
            return False
        try:
            self._socket.sendto("\n".join(assignments).encode(), self._address)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Let go of the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Service:
    """What systemd is told of a run. `look` is called about ten times a second."""

    def __init__(self, clock: Clock, environment: Mapping[str, str] = os.environ) -> None:
        self._clock = clock
        self._notifier = Notifier(environment.get("NOTIFY_SOCKET", ""))
        self._feed_every_ns = _watchdog_ns(environment) // 2
        self._ready = False
        self._stopping = False
        self._ticks = 0
        self._fed_ns = 0
        self._status = ""
        self._status_ns = 0

    def look(self, state: str, ticks: int, status: str, waiting: bool = False) -> None:
        """Tell what is new: the control process's `state`, ticks seen so far, the live line.

        `waiting`: there can be no tick, for a control process that died is being started again.
        """
        now_ns = self._clock.now_ns()
        if state == RUNNING and ticks > 0 and not self._ready:
            self._ready = self._notifier.tell("READY=1", f"STATUS={status}")
        self._feed(ticks, waiting, now_ns)
        if status != self._status and now_ns - self._status_ns >= STATUS_EVERY_NS:
            self._status, self._status_ns = status, now_ns
            self._notifier.tell(f"STATUS={status}")

    def _feed(self, ticks: int, waiting: bool, now_ns: int) -> None:
        # Only on a look that finds a new tick, so that a loop that has hung gets no last meal.
        fresh = ticks > self._ticks or (waiting and self._ready)
        self._ticks = ticks
        if fresh and self._feed_every_ns and now_ns - self._fed_ns >= self._feed_every_ns:
            self._notifier.tell("WATCHDOG=1")
            self._fed_ns = now_ns

    def stopping(self, takes_s: float = 0.0) -> None:
        """The declared stop has begun, and may take so long. Saying it twice is harmless."""
        if not self._stopping:
            self._stopping = True
            extend = [f"EXTEND_TIMEOUT_USEC={round(takes_s * 1e6)}"] if takes_s else []
            self._notifier.tell("STOPPING=1", "STATUS=stopping", *extend)

    def close(self) -> None:
        """Let go of the socket."""
        self._notifier.close()


def _watchdog_ns(environment: Mapping[str, str]) -> int:
    """The watchdog's period, ns; 0 where there is none or it watches another process."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0
    period_us = environment.get("WATCHDOG_USEC", "0")
    return int(period_us) * 1000 if period_us.isdigit() else 0
