"""Real-time chunking: a flow guided so that its new chunk continues the one being executed.

Black et al., arXiv 2506.07339, section 4 and algorithm 1; `src/model.py` of
Physical-Intelligence/real-time-chunking-kinetix. Time runs from 0 (noise) to 1 (actions), as in the
paper and in Neon; LeRobot (`policies/rtc/modeling_rtc.py`) runs it backwards, with other signs.
Everything is compared in the latent, before the chunk's tanh.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from neon_edge.engine.euler import Pull
from neon_edge.errors import ConfigWrong
from neon_edge.types import Float32

Schedule = Literal["exp", "linear"]
_INSIDE = 1.0 - 1e-6


def check_envelope(steps: int, delay: int, executed: int) -> None:
    """Raise `ConfigWrong` unless delay <= executed <= steps - delay, all in ticks."""
    if not inside(steps, delay, executed):
        raise ConfigWrong(
            "real-time chunking cannot join these chunks",
            f"chunk H = {steps}, delay d = {delay}, executed s = {executed} ticks; "
            f"d <= s <= H - d is {delay} <= {executed} <= {steps - delay}",
            'choose an execute inside it; where the delay is the backbone\'s, laid = "joints", or '
            "a faster backbone",
        )


def inside(steps: int, delay: int, executed: int) -> bool:
    """True if delay <= executed <= steps - delay, all in ticks."""
    return delay <= executed <= steps - delay


def soft_mask(steps: int, delay: int, executed: int, schedule: Schedule) -> Float32:
    """How firmly each row of a new chunk is held to the old one, (steps,), 1 to 0.

    Rows before `delay` are as good as sent: 1. Rows from steps - executed on were never planned: 0.
    """
    end = steps - executed
    row = np.arange(steps, dtype=np.float64)
    falling = np.clip((delay - 1 - row) / (end - delay + 1) + 1, 0, 1)
    if schedule == "exp":
        falling = falling * np.expm1(falling) / (math.e - 1)
    mask: Float32 = np.where(row < delay, 1.0, np.where(row < end, falling, 0.0)).astype(np.float32)
    return mask


def guidance_weight(time: float, beta: float) -> float:
    """How strongly a step at `time` in [0, 1) is corrected: at most `beta`, which it is at 0."""
    if time <= 0:
        return beta
    rest = 1 - time
    return min(beta, rest / time * (time * time + rest * rest) / (rest * rest))


class Guidance:
    """Pulls a flow towards `target` (steps, columns), a latent in old base and gain.

    `exact` follows the paper through the head's pull-back; without it the Jacobian of x + (1 - t) v
    is taken for the identity, as LeRobot deploys it.
    """

    def __init__(
        self, target: Float32, base: Float32, mask: Float32, beta: float, exact: bool
    ) -> None:
        self._target = target
        self._base = base
        self._mask = mask[:, None]
        self._beta = beta
        self._exact = exact

    def begin(self, base: Float32, gain: Float32, x: Float32) -> None:
        """Say the old chunk in the new one's terms: a state-relative head has moved its base."""
        if not np.array_equal(base[0], self._base):
            self._target = rebased(self._target, self._base, base[0], gain[0])
            self._base = base[0]

    def correction(self, x: Float32, velocity: Float32, time: float, pull: Pull) -> Float32:
        """What to add to `velocity` (1, steps, columns)."""
        rest = 1 - time
        error = (self._target - (x + rest * velocity)) * self._mask
        if self._exact:
            error = error + rest * pull(error)
        correction: Float32 = guidance_weight(time, self._beta) * error
        return correction


def rebased(latent: Float32, old: Float32, new: Float32, gain: Float32) -> Float32:
    """The latent whose actions on base `new` are those of `latent` on base `old`.

    Actions out of the new base's reach become its nearest.
    """
    wanted = np.tanh(latent) + (old - new) / gain
    moved: Float32 = np.arctanh(np.clip(wanted, -_INSIDE, _INSIDE)).astype(latent.dtype)
    return moved


def shifted(latent: Float32, executed: int) -> Float32:
    """What is left of a latent (steps, columns) after `executed` >= 0 rows, zeros behind."""
    left: Float32 = np.zeros_like(latent)
    rest = latent[executed:]
    left[: len(rest)] = rest
    return left
