"""Temporal ensembling: the weighted mean of every chunk that has something to say about now.

A chunk is made every tick; the setpoint at tick t is the mean over k of row k of the chunk made at
t - k, weighted exp(-decay * i) with i = 0 for the oldest (ACT, arXiv 2304.13705, section IV-A;
tonyzhaozh/act + imitate_episodes.py).
"""

from __future__ import annotations

import numpy as np

from neon_edge.heads.network import HeadNetwork
from neon_edge.types import Features, Float32, JointState, Setpoint


class EnsembleHeads:
    """Keeps the chunks of the last `steps` ticks. A missed tick leaves a gap, not a shift."""

    def __init__(self, network: HeadNetwork, decay: float) -> None:
        self._network = network
        self.driven = network.driven
        steps, columns = network.steps, network.columns
        self._decay = decay
        self._chunks: Float32 = np.zeros((steps, steps, columns), dtype=np.float32)
        self._made = np.full(steps, -steps, dtype=np.int64)
        self._mean: Float32 = np.zeros(columns, dtype=np.float32)

    def setpoint(
        self, features: Features | None, joints: JointState, at_ns: int, tick: int
    ) -> Setpoint | None:
        """Run the heads once and take the mean of what was ever said about `tick`."""
        if features is None:
            return None
        place = tick % len(self._made)
        chunk = self._network.run(features, joints.position)
        broken = ~np.isfinite(chunk).all(axis=1)
        if broken.any():
            # For safety to see, once: in the mean it would stay for a whole chunk.
            self._made[place] = tick - len(self._made)
            return self._network.setpoint(chunk[broken.argmax()], features, at_ns)
        self._chunks[place] = chunk
        self._made[place] = tick
        age = tick - self._made
        speaking = np.flatnonzero((age >= 0) & (age < len(age)))
        oldest_first = speaking[np.argsort(-age[speaking], kind="stable")]
        weights = np.exp(-self._decay * np.arange(len(oldest_first)))
        rows = self._chunks[oldest_first, age[oldest_first]]
        np.matmul((weights / weights.sum()).astype(np.float32), rows, out=self._mean)
        return self._network.setpoint(self._mean, features, at_ns)
