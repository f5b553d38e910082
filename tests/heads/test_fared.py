"""What a run says of its heads, each by its name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neon_edge.engine.selective import SelectiveEngine
from neon_edge.heads.blend import Blended
from neon_edge.heads.chunk import ChunkHeads
from neon_edge.heads.fared import warnings_of
from neon_edge.heads.fresh import FreshHeads
from tests.heads.test_guided import Stub
from tests.heads.test_strategies import Ramp, network, play, seen
from tests.heads.told import told_of


def test_a_head_without_trouble_says_nothing() -> None:
    heads = FreshHeads(network(Ramp()))
    play(heads, {0: seen(1, 1, 0)}, 30)
    assert warnings_of(told_of(heads)) == []


@pytest.mark.parametrize("blended", [False, True])
def test_a_chunk_that_ran_out_is_told(blended: bool) -> None:
    inner = ChunkHeads(network(Ramp()), 2, 100)
    heads = Blended(inner, 10, 2) if blended else inner
    play(heads, {0: seen(1, 1, 0)}, 20)
    [told] = warnings_of(told_of(heads))
    assert told.startswith("head 'arms' held the last row of a chunk for 12 ticks")
    assert "the 8 ticks" in told


def test_how_much_selective_decoding_spared_is_told() -> None:
    def embed(given: Any, made: Any) -> None:
        made["embedding"][:] = np.round(given["pooled"][0, 0])

    chunk = (1, 8, 2)
    engine = SelectiveEngine(
        Stub({"pooled": (1, 4), "joints": (1, 2)},
             {"embedding": (1, 4), "base": chunk, "gain": chunk}, embed),
        Stub({"embedding": (1, 4)}, {"latent": chunk}, lambda *_: None),
        0.0,
    )  # fmt: skip
    heads = FreshHeads(network(engine))
    play(heads, {0: seen(1, 1, 0), 5: seen(2, 2, 5)}, 10)
    assert warnings_of(told_of(heads)) == ["head 'arms' decoded 2 of 10 action embeddings"]
