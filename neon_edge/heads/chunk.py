"""Chunk replay: one chunk for each new features, its rows played at the tick's rate.

How most peers run a policy, and open loop between features. A chunk is made from the joint state of
the tick that its picture was taken at, and row i is due i ticks after that one, so the rows that
passed while the backbone thought are skipped and never replayed late.
"""

from __future__ import annotations

import numpy as np

from neon_edge.heads.history import History
from neon_edge.heads.network import HeadNetwork
from neon_edge.types import Features, Float32, JointState, Setpoint


class ChunkHeads:
    """Replays one chunk until the next features make another.

    Behind its last row a chunk holds that row: `starved` counts the ticks on which it had to.
    """

    def __init__(self, network: HeadNetwork, joints: int, depth: int) -> None:
        self._network = network
        self.driven = network.driven
        self._history = History(depth, joints)
        self._chunk: Float32 = np.zeros((network.steps, network.columns), dtype=np.float32)
        self._sequence = 0
        self._observed = 0
        self.starved = 0

    def setpoint(
        self, features: Features | None, joints: JointState, at_ns: int, tick: int
    ) -> Setpoint | None:
        """The row that is due at `tick`."""
        self._history.add(tick, at_ns, joints.position)
        if features is None:
            return None
        if features.sequence != self._sequence:
            self._sequence = features.sequence
            self._observed, position = self._history.observed(features.captured_ns)
            np.copyto(self._chunk, self._network.run(features, position))
        due = tick - self._observed
        if due >= len(self._chunk):
            self.starved += 1
            due = len(self._chunk) - 1
        return self._network.setpoint(self._chunk[due], features, at_ns)
