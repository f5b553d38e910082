"""The last ticks, so that a chunk can be laid where its observation was: counted, not estimated."""

from __future__ import annotations

import numpy as np

from neon_edge.types import Float32


class History:
    """Tick numbers, times and joint positions of the last `depth` ticks."""

    def __init__(self, depth: int, joints: int) -> None:
        self._ticks = np.zeros(depth, dtype=np.int64)
        self._at_ns = np.zeros(depth, dtype=np.int64)
        self._position: Float32 = np.zeros((depth, joints), dtype=np.float32)
        self._count = 0

    def add(self, tick: int, at_ns: int, position: Float32) -> None:
        """Remember this tick, forget the oldest."""
        place = self._count % len(self._ticks)
        self._ticks[place] = tick
        self._at_ns[place] = at_ns
        self._position[place] = position
        self._count += 1

    def observed(self, captured_ns: int) -> tuple[int, Float32]:
        """The newest tick that had begun when something was captured, and its joint positions.

        An observation from before the oldest tick is given to that one.
        """
        held = min(self._count, len(self._ticks))
        places = np.arange(self._count - held, self._count) % len(self._ticks)
        begun = int(np.searchsorted(self._at_ns[places], captured_ns, side="right")) - 1
        place = int(places[max(begun, 0)])
        return int(self._ticks[place]), self._position[place]
