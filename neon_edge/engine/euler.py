"""A flow head as one engine whose Euler steps run here, so that each can be guided.

Sources: `FlowMatchingHead.sample` in `neon/model/action_heads.py` of neon-vla 0.1.5, which takes a
guidance too; the guidance that this runtime knows is in `neon_edge/heads/rtc.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from neon_edge.engine.contract import Engine, Tensors
from neon_edge.types import Float32

Pull = Callable[[Float32], Float32]
"""e -> (dv/dx)^T e at the step's x, both (1, steps, columns)."""


class Guide(Protocol):
    """What may bend a flow on its way."""

    def begin(self, base: Float32, gain: Float32, x: Float32) -> None:
        """A chunk = base + gain * tanh(x) is about to be integrated from `x`, which may be changed.

        All are (1, steps, columns).
        """

    def correction(self, x: Float32, velocity: Float32, time: float, pull: Pull) -> Float32:
        """What to add to `velocity` at `x` and `time` in [0, 1); all (1, steps, columns)."""


class EulerEngine:
    """`condition` makes modulation, base and gain; `velocity` runs once for each row of it.

    chunk = base + gain * tanh(latent), the latent integrated from `noise` at t = 0 to 1. `guide` is
    asked at every step, if set. Owns all engines.
    """

    def __init__(self, condition: Engine, velocity: Engine, pullback: Engine) -> None:
        self._condition = condition
        self._velocity = velocity
        self._pullback = pullback
        self.guide: Guide | None = None
        self._modulation = condition.outputs["modulation"]
        self._latent: Float32 = velocity.inputs["x"]
        self._noise: Float32 = np.zeros_like(self._latent)
        self._chunk: Float32 = np.zeros_like(self._latent)
        self._scratch: Float32 = np.zeros_like(self._latent)
        self.inputs: Tensors = {**condition.inputs, "noise": self._noise}
        self.outputs: Tensors = {
            "chunk": self._chunk,
            "latent": self._latent,
            "base": condition.outputs["base"],
            "gain": condition.outputs["gain"],
        }

    def start(self) -> None:
        """Run to the end: every step waits for the one before."""
        self._condition.start()
        self._condition.wait()
        np.copyto(self._latent, self._noise)
        if self.guide is not None:
            self.guide.begin(self.outputs["base"], self.outputs["gain"], self._latent)
        for at in range(len(self._modulation)):
            self._step(at)
        np.tanh(self._latent, out=self._chunk)
        np.multiply(self._chunk, self.outputs["gain"], out=self._chunk)
        np.add(self._chunk, self.outputs["base"], out=self._chunk)

    def _step(self, at: int) -> None:
        steps = len(self._modulation)
        np.copyto(self._velocity.inputs["modulation"][0], self._modulation[at])
        self._velocity.start()
        self._velocity.wait()
        velocity = self._velocity.outputs["velocity"]
        np.multiply(velocity, np.float32(1 / steps), out=self._scratch)
        if self.guide is not None:
            more = self.guide.correction(self._latent, velocity, at / steps, self._pull)
            self._scratch += more * np.float32(1 / steps)
        np.add(self._latent, self._scratch, out=self._latent)

    def velocity_at(self, x: Float32) -> Float32:
        """The velocity at another `x` in the step that ran last; both (1, steps, columns)."""
        here = self._latent.copy()
        np.copyto(self._latent, x)
        self._velocity.start()
        self._velocity.wait()
        velocity: Float32 = self._velocity.outputs["velocity"].copy()
        np.copyto(self._latent, here)
        return velocity

    def _pull(self, error: Float32) -> Float32:
        np.copyto(self._pullback.inputs["x"], self._latent)
        np.copyto(self._pullback.inputs["modulation"], self._velocity.inputs["modulation"])
        np.copyto(self._pullback.inputs["error"], error)
        self._pullback.start()
        self._pullback.wait()
        pulled: Float32 = self._pullback.outputs["pulled"]
        return pulled

    def wait(self) -> None:
        """Nothing to wait for."""

    def close(self) -> None:
        """Free all of them."""
        self._condition.close()
        self._velocity.close()
        self._pullback.close()
