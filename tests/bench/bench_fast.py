"""What action tokens cost: a token on the plan, and a chunk's decoding beside the published way.

    python tests/bench/bench_fast.py [--rounds N] [--hidden N] [--json]

A `fast` head for all joints, 32 columns and 16 rows, random weights, on one thread. Decoding, the
same tokens in turns: ours (a table of bytes, one matrix product) and the published definition
(tokenizers' decode, scipy's idct), with vocabulary and settings opened beforehand for both. CPU
time of the thread, medians. The bar: ours decodes to the same chunk and costs less.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.fft import idct
from tokenizers import Tokenizer

sys.path.insert(0, str(Path(__file__).parents[2]))

from neon_edge.checkpoint import load_checkpoint
from neon_edge.checkpoint.load import ACTION_TOKENIZER
from neon_edge.engine.action_tokens import ActionTokens
from neon_edge.engine.plan import open_heads_engine, this_machine
from neon_edge.engine.spelling import SpellingEngine
from tests.bench.reach_task import Reach, compiled
from tests.checkpoint.own_heads import fast_config, save_own

WARM_UP = 50


def spent_us(act: Callable[[], object]) -> float:
    """CPU time of one call."""
    began = time.thread_time_ns()
    act()
    return (time.thread_time_ns() - began) / 1000


def published(tokens: ActionTokens, tokenizer: Tokenizer, ids: list[int]) -> Any:
    """A chunk by the published definition."""
    text = tokenizer.decode(ids, skip_special_tokens=False)
    coefficients = np.array([ord(one) for one in text]) + tokens.min_token
    return idct(coefficients.reshape(tokens.shape) / tokens.scale, axis=0, norm="ortho")


def decoding(tokens: ActionTokens, path: Path, chunks: Any, rounds: int) -> dict[str, Any]:
    """Median µs of both ways, and their largest difference."""
    tokenizer = Tokenizer.from_file(str(path))
    lines = [tokens.encode(chunk) for chunk in chunks]
    ours, theirs, apart = [], [], 0.0
    for turn in range(rounds + WARM_UP):
        ids = lines[turn % len(lines)]
        ours.append(spent_us(partial(tokens.decode, ids)))
        theirs.append(spent_us(partial(published, tokens, tokenizer, ids)))
        difference = tokens.decode(ids)[0] - published(tokens, tokenizer, ids)
        apart = max(apart, float(np.abs(difference).max()))
    return {
        "tokens": float(np.mean([len(ids) for ids in lines])),
        "ours_us": float(np.median(ours[WARM_UP:])),
        "published_us": float(np.median(theirs[WARM_UP:])),
        "apart": apart,
    }


def token_us(engine: SpellingEngine, rounds: int) -> tuple[float, float]:
    """Median µs of beginning a chunk and of one token, whatever random weights write."""
    begin, token = [], []
    while len(token) < rounds + WARM_UP:
        begin.append(spent_us(engine.begin))
        while not engine.spelling.finished:
            token.append(spent_us(partial(engine.advance, 1)))
    return float(np.median(begin)), float(np.median(token[WARM_UP:]))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        config = fast_config(hidden=chosen.hidden, budget=200, control_mode="whole_body")
        _, _, chunks = Reach(config, 0).draw(1000, np.random.default_rng(1))
        save_own(directory, config, chunks=chunks, vocabulary=1024)
        checkpoint = load_checkpoint(directory)
        engine = open_heads_engine(directory, compiled(checkpoint), this_machine("onnxruntime"))
        assert isinstance(engine, SpellingEngine) and checkpoint.tokens is not None
        path = directory / ACTION_TOKENIZER / "tokenizer.json"
        row = decoding(checkpoint.tokens, path, chunks[:200], chosen.rounds)
        row["begin_us"], row["token_us"] = token_us(engine, chosen.rounds)
        row["vocabulary"] = checkpoint.tokens.size
    row["ratio"] = row["published_us"] / row["ours_us"]
    met = row["ratio"] > 1 and row["apart"] <= 1e-12
    if chosen.json:
        print(json.dumps(row | {"met": met}))
        return int(not met)
    print(
        f"{platform.machine()}, {row['vocabulary']} tokens, hidden {chosen.hidden}: begin "
        f"{row['begin_us']:.0f} µs, a token {row['token_us']:.0f} µs\n"
        f"a chunk of {row['tokens']:.0f} tokens: decoded in {row['ours_us']:.0f} µs, published "
        f"way {row['published_us']:.0f} µs, {row['ratio']:.1f} times; {row['apart']:.0e} apart"
    )
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())
