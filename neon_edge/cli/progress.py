"""How far a build is: one bar that is drawn over on a terminal, one line a step anywhere else."""

from __future__ import annotations

import sys
from typing import TextIO

from neon_edge.build.ledger import Step
from neon_edge.clock import Clock, MonotonicClock

_WIDTH = 24
_ERASE = "\r\x1b[K"


class BuildProgress:
    """Call it with what the build does now; `close` it, so that what follows has its own line."""

    def __init__(
        self,
        stream: TextIO = sys.stderr,
        clock: Clock | None = None,
        prefix: str = "neon-edge build",
    ) -> None:
        self._stream = stream
        self._clock = clock or MonotonicClock()
        self._prefix = prefix
        self._drawn = False
        self._began_ns = self._clock.now_ns()

    def __call__(self, text: str) -> None:
        """A `Step` is counted, any other text is a line."""
        seconds = (self._clock.now_ns() - self._began_ns) / 1e9
        if not isinstance(text, Step):
            self.close()
            self._write(f"{self._prefix}: {text}\n")
        elif self._stream.isatty():
            full = (text.number - 1) * _WIDTH // max(text.total, 1)
            bar = "#" * full + "." * (_WIDTH - full)
            self._write(f"{_ERASE}[{bar}] {text.number}/{text.total} {text} ({seconds:.0f} s)")
            self._drawn = True
        else:
            at = f"{text.number}/{text.total}"
            self._write(f"{self._prefix}: {at} {text} (at {seconds:.1f} s)\n")

    def close(self) -> None:
        """Take the bar away."""
        if self._drawn:
            self._write(_ERASE)
            self._drawn = False

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
