"""Real-time chunking as a strategy: every new chunk is sampled so that it continues the last.

Laid at the joints, a chunk is made from this tick's joint state and the newest features, every
`execute` ticks and when new features arrive, whatever the backbone's period. Laid at the picture,
there is one chunk for each features, from its picture's tick on: the paper's form, whose delay is
the backbone's and whose envelope a slow backbone leaves. Before anything moves that is refused;
later it is counted, and the features in question are played as if laid at the joints.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from neon_edge.config.heads import HeadsChoice
from neon_edge.engine.euler import EulerEngine, Guide
from neon_edge.errors import ConfigWrong
from neon_edge.heads.history import History
from neon_edge.heads.network import HeadNetwork
from neon_edge.heads.rtc import Guidance, check_envelope, inside, shifted, soft_mask
from neon_edge.types import Features, Float32, JointState, Setpoint

HEAD_DELAY = 1
"""Ticks: the row of the tick that a chunk is made in is as good as sent."""


class Outside(NamedTuple):
    """Features that came outside the envelope: H, d and s in ticks."""

    steps: int
    delay: int
    executed: int


class GuidedHeads:
    """Plays chunks, each guided by what is left of the one before.

    `starved` counts ticks behind a chunk's last row, `restarts` chunks that had nothing to continue
    because ticks were missed, `left` features outside the envelope, the last of them in `outside`.
    Raises `ConfigWrong` for an `execute` outside it.
    """

    name = "rtc"

    def __init__(self, network: HeadNetwork, choice: HeadsChoice, joints: int, depth: int) -> None:
        engine = network.engine
        if not isinstance(engine, EulerEngine):
            raise ConfigWrong(
                f"strategy {self.name!r} needs a flow whose steps the host runs",
                f"the heads were opened as {type(engine).__name__}",
                'open them stepped, or choose strategy = "fresh" in [heads]',
            )
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
        self._at_joints = choice.laid == "joints"
        self.starved = 0
        self.restarts = 0
        self.left = 0
        self.outside: Outside | None = None

    def refuse_delay(self, delay: int) -> None:
        """Raise `ConfigWrong` if a backbone this many ticks behind leaves no room to continue."""
        if self._choice.laid == "picture":
            check_envelope(self._network.steps, delay, delay)

    def setpoint(
        self, features: Features | None, joints: JointState, at_ns: int, tick: int
    ) -> Setpoint | None:
        """The row that is due at `tick`."""
        self._history.add(tick, at_ns, joints.position)
        if features is None:
            return None
        if self._laid is None or features.sequence != self._sequence or self._spent(tick):
            swapped = features.sequence != self._sequence
            self._sequence = features.sequence
            self._make(features, joints, tick, swapped)
        assert self._laid is not None
        due = tick - self._laid
        if due >= len(self._chunk):
            self.starved += 1
            due = len(self._chunk) - 1
        return self._network.setpoint(self._chunk[due], features, at_ns)

    def _spent(self, tick: int) -> bool:
        assert self._laid is not None
        return self._at_joints and tick - self._laid >= self._choice.execute

    def _make(self, features: Features, joints: JointState, tick: int, swapped: bool) -> None:
        observed, position = tick, joints.position
        if swapped and self._choice.laid == "picture":
            seen, there = self._history.observed(features.captured_ns)
            self._at_joints = not self._fits(seen, tick)
            if not self._at_joints:
                observed, position = seen, there
        self._engine.guide = self._guide(observed, max(tick - observed, HEAD_DELAY))
        np.copyto(self._chunk, self._network.run(features, position))
        np.copyto(self._latent, self._engine.outputs["latent"][0])
        np.copyto(self._base, self._engine.outputs["base"][0])
        self._laid = observed

    def _fits(self, observed: int, tick: int) -> bool:
        delay = max(tick - observed, HEAD_DELAY)
        # Pictures fall between ticks, and the first before any, so that the count of executed rows
        # can be below the delay: the paper's horizon is never less than its delay either.
        executed = delay if self._laid is None else max(observed - self._laid, delay)
        if inside(self._network.steps, delay, executed):
            return True
        self.left += 1
        self.outside = Outside(self._network.steps, delay, executed)
        return False

    def _guide(self, observed: int, delay: int) -> Guide | None:
        # A NaN must not find its way into the next chunk: it would stay for ever.
        if self._laid is None or not np.isfinite(self._latent).all():
            return None
        # A chunk that is laid ahead of the last one's start, as the first of all can be, has the
        # whole of it to continue.
        passed = max(observed - self._laid, 0)
        executed = passed if self._at_joints else max(passed, delay)
        if not inside(self._network.steps, delay, executed):
            self.restarts += 1
            return None
        return self._joined(shifted(self._latent, passed), delay, executed)

    def _joined(self, left: Float32, delay: int, executed: int) -> Guide | None:
        """What makes the next chunk continue `left` (steps, columns), a latent."""
        choice = self._choice
        mask = soft_mask(self._network.steps, delay, executed, choice.schedule)
        return Guidance(left, self._base.copy(), mask, choice.beta, choice.jacobian == "true")
