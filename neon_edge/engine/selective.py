"""An embedding head as one engine, whose decoder runs only when the embedding has moved.

After VL-JEPA's selective decoding (arXiv 2512.10942, section 4.6), with actions in the place of
text: a predictor gives an embedding every time, and a decoder turns it into a chunk.
"""

from __future__ import annotations

import math

import numpy as np

from neon_edge.engine.contract import Engine, Tensors
from neon_edge.types import Float32


class SelectiveEngine:
    """`predict` makes embedding, base and gain; `decode` makes `latent` (1, steps, columns) of it.

    chunk = base + gain * latent. The decoder runs if the embedding is further than `moved` from the
    one it last ran on, as the root mean square of the difference: embeddings have a root mean
    square of 1. Measured from there and not from the embedding before, so that slow drift adds up.
    At 0 it runs whenever anything has changed, which gives the same bits as running always. An
    embedding that is not finite is not decoded: the chunk is NaN. Owns both engines.
    """

    def __init__(self, predict: Engine, decode: Engine, moved: float) -> None:
        self._predict = predict
        self._decode = decode
        self._squares = moved * moved * predict.outputs["embedding"].size
        self._embedding: Float32 = predict.outputs["embedding"]
        self._decoded: Float32 = decode.inputs["embedding"]
        self._difference: Float32 = np.zeros_like(self._embedding)
        self._chunk: Float32 = np.full_like(decode.outputs["latent"], np.nan)
        self._valid = False
        self.runs = 0
        """Embeddings predicted."""
        self.decodes = 0
        """How many of them were decoded."""
        self.inputs: Tensors = predict.inputs
        self.outputs: Tensors = {"chunk": self._chunk}

    def start(self) -> None:
        """Predict, decode if it must, and make the chunk."""
        self.runs += 1
        self._predict.start()
        self._predict.wait()
        if not self._moved():
            self._chunk.fill(np.nan)
            return
        made = self._predict.outputs
        np.multiply(self._decode.outputs["latent"], made["gain"], out=self._chunk)
        np.add(self._chunk, made["base"], out=self._chunk)

    def _moved(self) -> bool:
        """Bring `latent` up to date; False where the embedding is not finite."""
        np.subtract(self._embedding, self._decoded, out=self._difference)
        distance = float(np.vdot(self._difference, self._difference))
        if not math.isfinite(distance):
            return False
        # Not by the square at 0: that of a tiny difference can be nothing.
        moved = distance > self._squares if self._squares else self._difference.any()
        if moved or not self._valid:
            self._run_decoder()
        return True

    def _run_decoder(self) -> None:
        np.copyto(self._decoded, self._embedding)
        self._decode.start()
        self._decode.wait()
        self.decodes += 1
        # What is broken is decoded anew, and never kept.
        self._valid = bool(np.isfinite(self._decode.outputs["latent"]).all())

    def wait(self) -> None:
        """Nothing to wait for."""

    def close(self) -> None:
        """Free both."""
        self._predict.close()
        self._decode.close()
