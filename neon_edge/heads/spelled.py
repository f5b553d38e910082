"""Chunk replay for heads that write a chunk token by token: a few tokens in each tick.

A chunk is begun with new features, from the joint state of the tick that its picture was taken at,
and finished ticks later, while the one before is replayed. Row i is due i ticks after the picture,
so the rows that passed while it was written are skipped, as in `chunk.py`.
"""

from __future__ import annotations

import numpy as np

from neon_edge.engine.action_tokens import Fault
from neon_edge.engine.spelling import SpellingEngine
from neon_edge.heads.history import History
from neon_edge.heads.network import HeadNetwork
from neon_edge.types import Features, Float32, JointState, Setpoint


class SpelledHeads:
    """Replays the last chunk that was one, and wants nothing after one that was not.

    `written` counts chunks, `refused` those whose tokens were no chunk: from then until the next
    good one there is no setpoint, and the robot holds. Features that arrive while a chunk is being
    written wait for its end; only the newest of them is used. `starved` counts ticks behind a
    chunk's last row, which is held.
    """

    def __init__(
        self, network: HeadNetwork, engine: SpellingEngine, tokens: int, joints: int, depth: int
    ) -> None:
        self._network = network
        self._engine = engine
        self._tokens = tokens
        self.driven = network.driven
        self._history = History(depth, joints)
        self._chunk: Float32 = np.zeros((network.steps, network.columns), dtype=np.float32)
        self._source: Features | None = None
        self._observed = 0
        self._writing: Features | None = None
        self._writing_observed = 0
        self._sequence = 0
        self.written = 0
        self.refused = 0
        self.fault = Fault.NONE
        """Of the last that was no chunk."""
        self.starved = 0

    def setpoint(
        self, features: Features | None, joints: JointState, at_ns: int, tick: int
    ) -> Setpoint | None:
        """Write a few tokens, then the row that is due at `tick`."""
        self._history.add(tick, at_ns, joints.position)
        if features is None:
            return None
        if self._writing is None and features.sequence != self._sequence:
            self._begin(features)
        if self._writing is not None and self._engine.advance(self._tokens):
            self._finish(self._writing)
        if self._source is None:
            return None
        due = tick - self._observed
        if due >= len(self._chunk):
            self.starved += 1
            due = len(self._chunk) - 1
        return self._network.setpoint(self._chunk[due], self._source, at_ns)

    def _begin(self, features: Features) -> None:
        self._sequence = features.sequence
        self._writing = features
        self._writing_observed, position = self._history.observed(features.captured_ns)
        self._network.fill(features, position)
        self._engine.begin()

    def _finish(self, features: Features) -> None:
        self._writing = None
        self.written += 1
        if self._engine.fault:
            self.refused += 1
            self.fault = self._engine.fault
            self._source = None
            return
        np.copyto(self._chunk, self._network.chunk)
        self._source = features
        self._observed = self._writing_observed
