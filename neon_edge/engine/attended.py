"""The backbone's token sequence as input of heads that attend to it: put in when features are new.

tokens (1, rows, width) ── what the backbone made, zeros behind it
token_mask (1, rows) ───── 1 for a token, 0 for padding, to which nothing attends
"""

from __future__ import annotations

import numpy as np

from neon_edge.engine.contract import Array, Engine
from neon_edge.engine.staged import StagedEngine
from neon_edge.types import Float32

TOKENS = "tokens"
"""Output of a backbone's last part, input of heads."""
TOKEN_MASK = "token_mask"


class TokenFeed:
    """The one who fills these inputs of `engine`, which then runs on what `put` was told last.

    No tick compares megabytes to see whether they changed: `put` says so.
    """

    def __init__(self, engine: Engine) -> None:
        self._tokens: Array = engine.inputs[TOKENS][0]
        self._mask: Array = engine.inputs[TOKEN_MASK][0]
        # An engine that is not staged computes everything at every run anyhow.
        self._renew = engine.told(TOKENS) if isinstance(engine, StagedEngine) else None

    def put(self, tokens: Float32) -> None:
        """Attend to `tokens` (count, width) from the next run on; count is at most the rows."""
        count = len(tokens)
        self._tokens[:count] = tokens
        self._tokens[count:] = 0
        self._mask[:count] = 1
        self._mask[count:] = 0
        if self._renew is not None:
            self._renew()


def open_feed(engine: Engine) -> TokenFeed | None:
    """For heads that attend to tokens; None for all others."""
    return TokenFeed(engine) if TOKENS in engine.inputs else None


def padded(tokens: Float32, rows: int) -> Float32:
    """(count, width) → (rows, width), zeros behind."""
    whole: Float32 = np.zeros((rows, tokens.shape[1]), np.float32)
    whole[: len(tokens)] = tokens
    return whole
