"""The default strategy: run the heads every tick on fresh joint state over cached features.

Proprioception enters after the pooled feature, so this is a closed loop at the tick's rate and not
a replayed chunk: row 0 of each new chunk is what the head wants now.

With `ahead` = k the setpoint goes a (k + 1)th of the way from the last setpoint to row k, which is
wanted k ticks later. On a chunk that moves evenly that is row 0 again; what the head errs by counts
a (k + 1)th. A head whose error is larger than a tick's motion stands still on row 0, for ever where
its answer to the same joints is the same. Anchored at the last setpoint and not at the measured
joints, which gravity pulls down: a part of the way to them at every tick would sink with them.
"""

from __future__ import annotations

import numpy as np

from neon_edge.heads.network import HeadNetwork
from neon_edge.types import Features, Float32, JointState, Setpoint


class FreshHeads:
    """Row 0 of a chunk made now, or a part of the way to row `ahead` (0 <= ahead < steps).

    No other row is looked at, so none need be made.
    """

    def __init__(self, network: HeadNetwork, ahead: int = 0) -> None:
        self._network = network
        self.driven = network.driven
        self._ahead = ahead
        self._share = np.float32(1 / (ahead + 1))
        self._last: Float32 = np.zeros(network.columns, dtype=np.float32)
        self._known = False

    def setpoint(
        self, features: Features | None, joints: JointState, at_ns: int, tick: int
    ) -> Setpoint | None:
        """Run the heads and take what is due now."""
        if features is None:
            self._known = False
            return None
        if self._ahead:
            row = self._towards(features, joints.position)
        else:
            row = self._network.row(features, joints.position, 0)
        return self._network.setpoint(row, features, at_ns)

    def _towards(self, features: Features, position: Float32) -> Float32:
        if not self._known:
            # Nothing was wanted yet: from where the joints are, as the head sees them.
            self._network.fill(features, position)
            seen = self._network.seen
            first = self._network.row(features, position, 0) if seen is None else seen
            np.copyto(self._last, first)
        wanted = self._network.row(features, position, self._ahead)
        self._last += self._share * (wanted - self._last)
        # A NaN must not stay: it is shown once, and the next setpoint begins at the joints.
        self._known = bool(np.isfinite(self._last).all())
        return self._last
