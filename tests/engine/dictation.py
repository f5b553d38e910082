"""A network that spells out lines given to it, so that tests choose what a head writes."""

from __future__ import annotations

import numpy as np

from neon_edge.engine.action_tokens import ActionTokens
from neon_edge.engine.contract import Tensors
from neon_edge.engine.spelling import SpellingEngine

STEPS, COLUMNS = 8, 3
BASE, GAIN = 0.25, 2.0


class Condition:
    """The first state is the number of the line to dictate."""

    def __init__(self) -> None:
        self.inputs: Tensors = {"pooled": np.zeros((1, 1), np.float32)}
        self.outputs: Tensors = {
            "state": np.zeros((1, 1, 2), np.float32),
            "seen": np.zeros((1, 4), np.float32),
            "base": np.full((1, STEPS, COLUMNS), BASE, np.float32),
            "gain": np.full((1, STEPS, COLUMNS), GAIN, np.float32),
        }

    def start(self) -> None:
        self.outputs["state"][0, 0] = (self.inputs["pooled"][0, 0], 0)

    def wait(self) -> None: ...

    def close(self) -> None: ...


class Dictation:
    """Scores that spell out one of some lines; checks what it is told on the way."""

    def __init__(self, tokens: ActionTokens, lines: list[list[int]]) -> None:
        self._tokens = tokens
        self._lines = lines
        self.nan_at = -1
        state = np.zeros((1, 1, 2), np.float32)
        self.inputs: Tensors = {
            "token": np.zeros(1, np.int32),
            "place": np.zeros(1, np.int32),
            "seen": np.zeros((1, 4), np.float32),
            "state": state,
        }
        scores = np.zeros((1, tokens.size + 1), np.float32)
        self.outputs: Tensors = {"scores": scores, "next": np.zeros_like(state)}
        self.runs = 0

    def start(self) -> None:
        self.runs += 1
        line, at = (int(value) for value in self.inputs["state"][0, 0])
        said = self._lines[line]
        before = said[:at]
        assert self.inputs["token"][0] == (before[-1] if before else self._tokens.size)
        assert self.inputs["place"][0] == sum(self._tokens.characters[one] for one in before)
        self.outputs["scores"][:] = 0
        self.outputs["scores"][0, said[at] if at < len(said) else self._tokens.size] = 1
        if at == self.nan_at:
            self.outputs["scores"][0, 3] = np.nan
        self.outputs["next"][0, 0] = (line, at + 1)

    def wait(self) -> None: ...

    def close(self) -> None: ...


def dictating(
    tokens: ActionTokens, lines: list[list[int]], budget: int = 100
) -> tuple[SpellingEngine, Dictation]:
    step = Dictation(tokens, lines)
    return SpellingEngine(Condition(), step, tokens, budget), step
