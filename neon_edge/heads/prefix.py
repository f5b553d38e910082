"""Trained prefix conditioning: a flow that learnt to continue is given the rows to continue.

Black et al., "Training-time action conditioning for efficient real-time chunking", arXiv
2512.05964: in training the first d rows of a chunk stay clean, for a random d, and only the others
are noised and judged; in use they are the last chunk's. There is no guidance and no gradient: it
costs what the head costs. Neon's flow has one time for all rows and is not told d; clean rows among
noise are what it learns to see.
"""

from __future__ import annotations

import numpy as np

from neon_edge.config.heads import HeadsChoice
from neon_edge.engine.euler import Guide, Pull
from neon_edge.errors import ConfigWrong
from neon_edge.heads.guided import GuidedHeads
from neon_edge.heads.network import HeadNetwork
from neon_edge.heads.rtc import rebased
from neon_edge.types import Float32


class Prefix:
    """Keeps the first rows of a flow at `target` (rows, columns), a latent in its old base."""

    def __init__(self, target: Float32, base: Float32) -> None:
        self._target = target
        self._base = base[: len(target)]

    def begin(self, base: Float32, gain: Float32, x: Float32) -> None:
        """Put the rows in the noise's place, on the base that a state-relative head has now."""
        rows = len(self._target)
        if not np.array_equal(base[0, :rows], self._base):
            self._target = rebased(self._target, self._base, base[0, :rows], gain[0, :rows])
            self._base = base[0, :rows]
        x[0, :rows] = self._target

    def correction(self, x: Float32, velocity: Float32, time: float, pull: Pull) -> Float32:
        """What keeps them there: minus their velocity (1, steps, columns), and 0 behind."""
        still = np.zeros_like(velocity)
        still[:, : len(self._target)] = -velocity[:, : len(self._target)]
        return still


class PrefixHeads(GuidedHeads):
    """Plays chunks, each given as many rows of the one before as the head was trained with.

    Raises `ConfigWrong` for heads that were trained with none, or with fewer than the delay.
    """

    name = "prefix"

    def __init__(self, network: HeadNetwork, choice: HeadsChoice, joints: int, depth: int) -> None:
        trained = network.prefix_rows
        if trained < 1:
            raise ConfigWrong(
                "these heads were not trained to continue given rows",
                "the manifest says prefix_rows = 0; they would take the rows for noise",
                'choose strategy = "rtc", or train with prefixes and write neon_edge_prefix_rows '
                "into the checkpoint's action_space.json",
            )
        super().__init__(network, choice, joints, depth)
        self._trained = trained

    def refuse_delay(self, delay: int) -> None:
        """Raise `ConfigWrong` if a backbone this many ticks behind needs more rows than trained."""
        super().refuse_delay(delay)
        if self._choice.laid == "picture" and delay > self._trained:
            raise ConfigWrong(
                "these heads were trained to continue fewer rows than this backbone takes",
                f"trained with at most {self._trained}, delay d = {delay} ticks",
                'choose laid = "joints", or train with longer prefixes',
            )

    def _joined(self, left: Float32, delay: int, executed: int) -> Guide | None:
        rows = min(self._trained, self._network.steps - executed)
        if rows < delay:
            self.restarts += 1
            return None
        return Prefix(left[:rows].copy(), self._base.copy())
