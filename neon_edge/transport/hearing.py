"""The newest of what one sender says, taken in the tick without waiting.

What is damaged, said twice or not said is silence, and silence is what safety judges.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from neon_edge.clock import Clock
from neon_edge.transport.protocol.sealed import Raw
from neon_edge.transport.protocol.velocity import is_newer

MOST_A_READ = 64
"""Messages taken in one tick: no sender can keep us reading."""
TAKEOVER_NS = 500_000_000
"""After this long a silence another sender is believed, or the same one started anew."""


class Stamped(Protocol):
    """What a message says of itself."""

    @property
    def session(self) -> int:
        """Of the sender."""

    @property
    def sequence(self) -> int:
        """In that session."""

    @property
    def at_ns(self) -> int:
        """On the sender's clock."""


R = TypeVar("R", bound=Stamped)


@dataclass(slots=True)
class HearingCounters:
    """What has come since the link was opened."""

    readings: int = 0
    """Taken."""
    damaged: int = 0
    """No reading of ours, or not a sound one."""
    old: int = 0
    """Not newer than the one before, or of another sender than the one that is followed."""


class Hearing(Generic[R]):
    """One sender at a time. One thread.

    `receive` gives one message or raises OSError where there is none; `decode` gives a sound
    reading or None; `keep` is handed each one that counts.
    """

    def __init__(
        self,
        receive: Callable[[], Raw],
        close: Callable[[], None],
        clock: Clock,
        decode: Callable[[Raw], R | None],
        keep: Callable[[R], None],
    ) -> None:
        self._receive = receive
        self.close = close
        """Let go of it."""
        self._clock = clock
        self._decode = decode
        self._keep = keep
        self.counters = HearingCounters()
        self.heard_ns = 0
        """When the newest reading was taken; 0 for never."""
        self._followed: tuple[int, int, int] = (0, 0, 0)

    def read(self, most: int = MOST_A_READ) -> bool:
        """Take what is in; never waits. False where `most` messages were not all of it."""
        now_ns = self._clock.now_ns()
        try:
            for _ in range(most):
                self._take(self._receive(), now_ns)
        except OSError:  # a source that is gone is a silent one
            return True
        return False

    def _take(self, raw: Raw, now_ns: int) -> None:
        reading = self._decode(raw)
        if reading is None:
            self.counters.damaged += 1
        elif not self._is_next(reading, now_ns):
            self.counters.old += 1
        else:
            self.counters.readings += 1
            self._followed = (reading.session, reading.sequence, reading.at_ns)
            self.heard_ns = now_ns
            self._keep(reading)

    def _is_next(self, reading: R, now_ns: int) -> bool:
        if not self.counters.readings:
            return True
        session, sequence, at_ns = self._followed
        if reading.session != session:
            return now_ns - self.heard_ns > TAKEOVER_NS
        return is_newer(reading.sequence, sequence) and reading.at_ns > at_ns
