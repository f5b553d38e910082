"""What both child processes need: a stop request from a signal, and an exit code that says why."""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Callable

from neon_edge.errors import EXIT_BUG, NeonEdgeError


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
    """Run `body` and turn its end into an exit code; errors are told on stderr."""
    stop = Stop()
    signal.signal(signal.SIGTERM, lambda *_: stop.request())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        body(stop)
    except NeonEdgeError as failure:
        print(f"neon-edge {name}: {failure}", file=sys.stderr, flush=True)  # noqa: T201
        return failure.exit_code
    except Exception:
        traceback.print_exc()
        return EXIT_BUG
    return 0
