"""A diffusion head as one engine: noise predictions on a plan, the update between them here.

The update divides by the signal's share of a nearly pure noise, 1e-5 at the first step. In anything
less than float32 that step is meaningless, so no compiler is given the chance.
"""

from __future__ import annotations

import numpy as np

from neon_edge.engine.contract import Engine, Tensors
from neon_edge.types import Float32

SMALLEST_ALPHA = np.float32(1e-5)


def denoise(
    x: Float32, predicted: Float32, now: np.float32, then: np.float32, scratch: Float32
) -> None:
    """One DDIM-like update of `x`, in place, from `now` to `then` (0 is noise, 1 the actions).

    Source: `DiTActionHead.sample` in `neon/model/action_heads.py` of neon-vla 0.1.5.
    """
    one = np.float32(1.0)
    np.multiply(predicted, one - now, out=scratch)
    np.subtract(x, scratch, out=x)
    np.divide(x, np.maximum(now, SMALLEST_ALPHA), out=x)
    np.multiply(x, then, out=x)
    np.multiply(predicted, one - then, out=scratch)
    np.add(x, scratch, out=x)


class DenoisingEngine:
    """`tick` makes modulation, base and gain; `step` predicts the noise once for each row of it.

    chunk = base + gain * tanh(x), x denoised from the last block of `noise`. Owns both engines.
    """

    def __init__(self, tick: Engine, step: Engine) -> None:
        self._tick = tick
        self._step = step
        self._modulation = tick.outputs["modulation"]
        self._row = step.inputs["modulation"]
        self._x = step.inputs["x"]
        self._predicted = step.outputs["predicted"]
        self._scratch: Float32 = np.zeros_like(self._x)
        steps = len(self._modulation)
        # In float64 and rounded: bit for bit what torch.linspace makes of it.
        self._times: Float32 = np.linspace(0, 1, steps + 1).astype(np.float32)
        noise = tick.inputs.get("noise")
        self._noise: Float32 = np.zeros_like(self._x) if noise is None else noise
        self.inputs: Tensors = {**tick.inputs, "noise": self._noise}
        self._chunk: Float32 = np.zeros_like(self._x)
        self.outputs: Tensors = {"chunk": self._chunk}

    def start(self) -> None:
        """Run to the end: every step waits for the one before."""
        self._tick.start()
        self._tick.wait()
        np.copyto(self._x, self._noise[-1:])
        for at in range(len(self._modulation)):
            np.copyto(self._row[0], self._modulation[at])
            self._step.start()
            self._step.wait()
            now, then = self._times[at], self._times[at + 1]
            denoise(self._x, self._predicted, now, then, self._scratch)
        self._finish()

    def _finish(self) -> None:
        np.tanh(self._x, out=self._chunk)
        np.multiply(self._chunk, self._tick.outputs["gain"], out=self._chunk)
        np.add(self._chunk, self._tick.outputs["base"], out=self._chunk)

    def undenoised(self) -> tuple[Float32, Float32]:
        """For verification, which sampling's multiplied rounding errors would drown.

        What every step predicts of the noise itself, (denoise steps, steps, columns), and the chunk
        (1, steps, columns) with the noise in place of what denoising would make of it.
        """
        self._tick.start()
        self._tick.wait()
        np.copyto(self._x, self._noise[-1:])
        predicted = []
        for row in self._modulation:
            np.copyto(self._row[0], row)
            self._step.start()
            self._step.wait()
            predicted.append(self._predicted[0].copy())
        self._finish()
        return np.stack(predicted), self._chunk.copy()

    def wait(self) -> None:
        """Nothing to wait for."""

    def close(self) -> None:
        """Free both."""
        self._tick.close()
        self._step.close()
