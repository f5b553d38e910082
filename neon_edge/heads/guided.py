"""Real-time chunking as a strategy: every new chunk is sampled so that it continues the last.

Laid at the joints, a chunk is made from this tick's joint state and the newest features, every
`execute` ticks and when new features arrive, whatever the backbone's period. Laid at the picture,
there is one chunk for each features, from its picture's tick on: the paper's form, whose delay is
the backbone's and whose envelope a slow backbone leaves.
"""

from __future__ import annotations

import numpy as np

from neon_edge.config.robot import HeadsChoice
from neon_edge.engine.euler import EulerEngine
from neon_edge.errors import ConfigWrong
from neon_edge.heads.history import History
from neon_edge.heads.network import HeadNetwork
from neon_edge.heads.rtc import Guidance, check_envelope, shifted, soft_mask
from neon_edge.types import Features, Float32, JointState, Setpoint

HEAD_DELAY = 1
"""Ticks: the row of the tick that a chunk is made in is as good as sent."""


class GuidedHeads:
    """Plays chunks, each guided by what is left of the one before.

    `starved` counts ticks behind a chunk's last row, `restarts` chunks that had nothing to continue
    because ticks were missed. Raises `ConfigWrong` for an `execute` outside the envelope, and, laid
    at the picture, for the first features whose delay leaves it.
    """

    def __init__(self, network: HeadNetwork, choice: HeadsChoice, joints: int, depth: int) -> None:
        engine = network.engine
        if not isinstance(engine, EulerEngine):
            raise ConfigWrong(
                "real-time chunking needs a flow whose steps the host runs",
                f"the heads were opened as {type(engine).__name__}",
                'open them stepped, or choose strategy = "fresh" in [heads]',
            )
        if choice.laid == "joints":
            check_envelope(network.steps, HEAD_DELAY, choice.execute)
        self._engine = engine
        self._network = network
        self.driven = network.driven
        self._choice = choice
        self._history = History(depth, joints)
        shape = (network.steps, network.columns)
        self._chunk: Float32 = np.zeros(shape, dtype=np.float32)
        self._latent: Float32 = np.zeros(shape, dtype=np.float32)
        self._base: Float32 = np.zeros(shape, dtype=np.float32)
        self._sequence = 0
        self._laid: int | None = None
        self.starved = 0
        self.restarts = 0

    def setpoint(
        self, features: Features | None, joints: JointState, at_ns: int, tick: int
    ) -> Setpoint | None:
        """The row that is due at `tick`."""
        self._history.add(tick, at_ns, joints.position)
        if features is None:
            return None
        if self._laid is None or features.sequence != self._sequence or self._spent(tick):
            self._sequence = features.sequence
            self._make(features, joints, tick)
        assert self._laid is not None
        due = tick - self._laid
        if due >= len(self._chunk):
            self.starved += 1
            due = len(self._chunk) - 1
        return self._network.setpoint(self._chunk[due], features, at_ns)

    def _spent(self, tick: int) -> bool:
        assert self._laid is not None
        return self._choice.laid == "joints" and tick - self._laid >= self._choice.execute

    def _make(self, features: Features, joints: JointState, tick: int) -> None:
        observed, position = tick, joints.position
        if self._choice.laid == "picture":
            observed, position = self._history.observed(features.captured_ns)
        self._engine.guide = self._guidance(observed, max(tick - observed, HEAD_DELAY))
        np.copyto(self._chunk, self._network.run(features, position))
        np.copyto(self._latent, self._engine.outputs["latent"][0])
        np.copyto(self._base, self._engine.outputs["base"][0])
        self._laid = observed

    def _guidance(self, observed: int, delay: int) -> Guidance | None:
        # A NaN must not find its way into the next chunk: it would stay for ever.
        if self._laid is None or not np.isfinite(self._latent).all():
            return None
        steps, executed, choice = self._network.steps, observed - self._laid, self._choice
        left = shifted(self._latent, executed)
        if choice.laid == "picture":
            # Pictures fall between ticks, and the first before any, so that the count of executed
            # rows can be below the delay: the paper's horizon is never less than its delay either.
            executed = max(executed, delay)
            check_envelope(steps, delay, executed)
        elif not delay <= executed <= steps - delay:
            self.restarts += 1
            return None
        mask = soft_mask(steps, delay, executed, choice.schedule)
        return Guidance(left, self._base.copy(), mask, choice.beta, choice.jacobian == "true")
