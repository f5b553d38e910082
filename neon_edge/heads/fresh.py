"""The default strategy: run the heads every tick on fresh joint state over cached features.

Proprioception enters after the pooled feature, so this is a closed loop at the tick's rate and not
a replayed chunk: row 0 of each new chunk is what the head wants now.
"""

from __future__ import annotations

from neon_edge.heads.network import HeadNetwork
from neon_edge.types import Features, JointState, Setpoint


class FreshHeads:
    """Row 0 of a chunk made now."""

    def __init__(self, network: HeadNetwork) -> None:
        self._network = network
        self.driven = network.driven

    def setpoint(
        self, features: Features | None, joints: JointState, at_ns: int, tick: int
    ) -> Setpoint | None:
        """Run the heads once and take the first row."""
        if features is None:
            return None
        chunk = self._network.run(features, joints.position)
        return self._network.setpoint(chunk[0], features, at_ns)
