"""The last part of a streamed backbone: what the encoders made → pooled features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from neon_edge.engine.contract import Array, Engine
from neon_edge.engine.streams import STEP_NS, Streams
from neon_edge.types import Float32


class Fusion(Protocol):
    """Keeps the newest of every modality until it is replaced or dropped."""

    def put(self, name: str, made: Mapping[str, Array], at_ns: int) -> None:
        """What the encoder of `name` just made of what ends at `at_ns`."""

    def drop(self, name: str) -> None:
        """`name` is missing until it is put again."""

    def told(self, weights: Float32) -> None:
        """The text's pooling weights (1, text tokens): zero where it is padded."""

    def run(self) -> None:
        """One pass."""


class TokenFusion:
    """Upstream's: a sequence of tokens. A modality that is missing is zeros ahead of its projector.

    Upstream's modality dropout does the same (neon-vla, `tribe_backbone.py`, `encode`).
    """

    def __init__(self, streams: Streams, engine: Engine) -> None:
        self._engine = engine
        self._text = streams.kept.get("text", 0)
        weights = engine.inputs["pool_weights"]
        weights[:] = 1.0 / weights.size
        for name, buffer in engine.inputs.items():
            if name != "pool_weights":
                buffer[:] = 0.0

    def put(self, name: str, made: Mapping[str, Array], at_ns: int) -> None:
        """Its tokens, all of them: the graph takes those that are kept."""
        np.copyto(self._engine.inputs[f"{name}_features"], made[f"{name}_features"])

    def drop(self, name: str) -> None:
        """Zeros."""
        self._engine.inputs[f"{name}_features"][:] = 0.0

    def told(self, weights: Float32) -> None:
        """Padding behind a short instruction weighs nothing and is attended by nothing."""
        if not self._text:
            return
        pool = self._engine.inputs["pool_weights"]
        np.copyto(pool, pool_weights(pool.size, self._text, weights))

    def run(self) -> None:
        """One pass."""
        self._engine.start()
        self._engine.wait()


def pool_weights(tokens: int, text: int, told: Float32) -> Float32:
    """(1, tokens) that sum to one, the last `text` of them zero where `told` (1, n) is."""
    counts = np.ones((1, tokens), np.float32)
    if text:
        counts[:, tokens - text :] = told[:, :text] > 0
    counts /= counts.sum()
    return counts


class StepFusion:
    """TRIBE v2's: half seconds. Video's come one a pass and roll; sound brings its whole window.

    Video rolls by the half seconds that have passed, however often its encoder ran: between two
    of them the newest step is replaced, and a step that a slow board missed repeats the one before.

    A modality that is missing is zeros behind its projector, as TRIBE v2's modality dropout makes
    it (facebookresearch/tribev2 `tribev2/model.py`, `aggregate_features`).
    """

    _ORDER = ("text", "audio", "video")

    def __init__(self, streams: Streams, engine: Engine) -> None:
        self._engine = engine
        self._newest_ns = 0
        for buffer in engine.inputs.values():
            buffer[:] = 0.0

    def put(self, name: str, made: Mapping[str, Array], at_ns: int) -> None:
        """New steps. What comes first stands for all the steps before it."""
        steps, new = self._engine.inputs[f"{name}_steps"], made[f"{name}_steps"]
        # To the nearest half second: cameras do not tick on our grid, and the grid never drifts.
        passed = (at_ns - self._newest_ns + STEP_NS // 2) // STEP_NS
        if name == "video" and self._there(name) and 0 <= passed < steps.shape[1]:
            self._roll(steps, passed)
            steps[:, -1:] = new
            self._newest_ns += passed * STEP_NS
        else:
            steps[:] = new
            if name == "video":
                self._newest_ns = at_ns
        self._mark(name, 1.0)

    def _roll(self, steps: Array, passed: int) -> None:
        """The newest step goes `passed` places back, and stands on the way there too."""
        if passed:
            steps[:, :-passed] = steps[:, passed:].copy()
            steps[:, -passed:] = steps[:, -passed - 1, None]

    def drop(self, name: str) -> None:
        """It is not there, and what it showed is forgotten."""
        self._mark(name, 0.0)

    def told(self, weights: Float32) -> None:
        """Padding was left out where the text was read."""

    def run(self) -> None:
        """One pass."""
        self._engine.start()
        self._engine.wait()

    def _there(self, name: str) -> bool:
        return bool(self._engine.inputs["present"][0, self._ORDER.index(name)])

    def _mark(self, name: str, present: float) -> None:
        self._engine.inputs["present"][0, self._ORDER.index(name)] = present


def open_fusion(streams: Streams, engine: Engine) -> Fusion:
    """The one that `streams` names."""
    return (TokenFusion if streams.fusion == "tokens" else StepFusion)(streams, engine)
