"""What both child processes need: a stop request from a signal, and an exit code that says why."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable

from neon_edge.errors import EXIT_BUG, NeonEdgeError
from neon_edge.telemetry.log import start_logging


class Stop:
    """Set by SIGTERM. The terminal's ^C goes to the supervisor, which asks its children in turn."""

    def __init__(self) -> None:
        self.requested = False
        self._calls: list[Callable[[], None]] = []

    def when_requested(self, call: Callable[[], None]) -> None:
        """Also call this, from the signal: it may only set a flag."""
        self._calls.append(call)

    def request(self) -> None:
        """Ask for the stop."""
        self.requested = True
        for call in self._calls:
            call()


def run_child(name: str, body: Callable[[Stop], None]) -> int:
    """Run `body` and turn its end into an exit code; errors are told in the log, on stderr."""
    start_logging(name)
    log = logging.getLogger(name)
    stop = Stop()
    signal.signal(signal.SIGTERM, lambda *_: stop.request())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        body(stop)
    except NeonEdgeError as failure:
        log.error("%s", failure)
        return failure.exit_code
    except Exception:
        log.exception("this is our bug; please report it with the lines below")
        return EXIT_BUG
    return 0
