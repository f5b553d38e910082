"""An autoregressive head as one engine: scores on a plan, the choice of tokens here, greedily.

Between tokens the engine can be left and taken up again, so that a control loop writes a chunk over
several of its ticks, in one thread. What it writes is strict: tokens that are no chunk give NaN and
a `Fault`, and never a guess.
"""

from __future__ import annotations

import numpy as np

from neon_edge.engine.action_tokens import ActionTokens, Fault
from neon_edge.engine.contract import Engine, Tensors
from neon_edge.types import Float32, Float64


class Spelling:
    """One chunk being written: which token comes next, and where it stands.

    The network sees `token`, the last one written (`tokens.size` before the first), and `place`,
    how many coefficients are written. Its score number `tokens.size` is that of the end.
    """

    def __init__(self, tokens: ActionTokens, budget: int) -> None:
        self._tokens = tokens
        self._budget = budget
        self.begin()

    def begin(self) -> None:
        """Forget what was written."""
        self.ids: list[int] = []
        self.token = self._tokens.size
        self.place = 0
        self.fault = Fault.NONE
        self.finished = False

    def take(self, scores: Float32) -> None:
        """Write the token with the largest of `scores` (tokens.size + 1,), or end."""
        best = int(scores.argmax())  # of a NaN too, which is then no number
        if not np.isfinite(scores[best]):
            self._end(Fault.NOT_FINITE)
        elif best == self._tokens.size:
            self._end(Fault.NONE if self.place == self._tokens.count else Fault.COUNT)
        elif len(self.ids) == self._budget:
            self._end(Fault.ENDLESS)
        else:
            self.ids.append(best)
            self.token = best
            self.place += self._tokens.characters[best]
            if self.place > self._tokens.count:
                self._end(Fault.COUNT)

    def chunk(self) -> Float64:
        """(steps, columns), normalised; all NaN unless finished without a fault."""
        if not self.finished or self.fault:
            return np.full(self._tokens.shape, np.nan)
        decoded, self.fault = self._tokens.decode(self.ids)
        return decoded

    def _end(self, fault: Fault) -> None:
        self.fault = fault
        self.finished = True


class SpellingEngine:
    """`condition` makes the first state, base and gain; `step` scores one token after another.

    chunk = base + gain * what the tokens say, or NaN. `start` writes all of it; `begin` and
    `advance` write it piece by piece, and inputs may change between them without any effect on the
    chunk under way. Owns both engines.
    """

    def __init__(self, condition: Engine, step: Engine, tokens: ActionTokens, budget: int) -> None:
        self._condition = condition
        self._step = step
        self._budget = budget
        self.spelling = Spelling(tokens, budget)
        base = condition.outputs["base"]
        self._base: Float32 = np.zeros_like(base)
        self._gain: Float32 = np.zeros_like(base)
        self._chunk: Float32 = np.full_like(base, np.nan)
        self.inputs: Tensors = condition.inputs
        self.outputs: Tensors = {"chunk": self._chunk}

    @property
    def fault(self) -> Fault:
        """Why the last chunk is all NaN, or `Fault.NONE`."""
        return self.spelling.fault

    def begin(self) -> None:
        """Read the inputs and stand before the first token; `chunk` stays as it was."""
        self._condition.start()
        self._condition.wait()
        made = self._condition.outputs
        for name in ("state", "seen"):
            np.copyto(self._step.inputs[name], made[name])
        np.copyto(self._base, made["base"])
        np.copyto(self._gain, made["gain"])
        self.spelling.begin()

    def advance(self, tokens: int) -> bool:
        """Write at most so many tokens; True once the chunk is there, or its fault."""
        spelling, inputs, outputs = self.spelling, self._step.inputs, self._step.outputs
        for _ in range(tokens):
            if spelling.finished:
                break
            inputs["token"][0] = spelling.token
            inputs["place"][0] = spelling.place
            self._step.start()
            self._step.wait()
            np.copyto(inputs["state"], outputs["next"])
            spelling.take(outputs["scores"][0])
        if spelling.finished:
            self._chunk[0] = spelling.chunk()
            np.multiply(self._chunk, self._gain, out=self._chunk)
            np.add(self._chunk, self._base, out=self._chunk)
        return spelling.finished

    def start(self) -> None:
        """Run to the end: every token waits for the one before."""
        self.begin()
        self.advance(self._budget + 1)

    def wait(self) -> None:
        """Nothing to wait for."""

    def close(self) -> None:
        """Free both."""
        self._condition.close()
        self._step.close()
