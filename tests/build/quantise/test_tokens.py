"""Memory does not grow with the number of samples, and nothing else changes by it."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neon_edge.build.quantise.activations import Activations, Tokens
from neon_edge.build.quantise.kept import Kept
from neon_edge.build.quantise.layers import quantise
from neon_edge.build.quantise.method import Method, make_int4, make_int8
from neon_edge.build.quantise.observers import observed
from neon_edge.build.quantise.tokens import drawn_rows, quantile, rows_at, spread_rows
from neon_edge.build.quantise.walk import Walk
from neon_edge.types import Float32
from tests.build.quantise.graphs import TOKENS, WIDTH, run, two_linears

LONG, WIDE = 256, 512


class Passing(Sequence[Float32]):
    """Samples that are made when they are asked for and held by nobody."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: Any) -> Any:
        return np.random.default_rng(number).standard_normal((LONG, WIDE), np.float32)

    def __iter__(self) -> Iterator[Float32]:
        return (self[number] for number in range(self.count))


def peak(work: Callable[[Sequence[Float32]], object], count: int) -> int:
    """Bytes of arrays at once, above what there was."""
    tracemalloc.start()
    work(Passing(count))
    _, highest = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return highest


MATRIX = np.random.default_rng(0).standard_normal((WIDE, 32)).astype(np.float32)
WORKS: dict[str, Callable[[Sequence[Float32]], object]] = {
    "drawn": lambda samples: drawn_rows(samples, 16, 256, np.random.default_rng(0)),
    "spread": lambda samples: spread_rows(samples, 512),
    "max": lambda samples: observed(samples, "max"),
    "percentile": lambda samples: observed(samples, "percentile"),
    "entropy": lambda samples: observed(samples, "entropy"),
    "int8": lambda samples: make_int8(samples, samples[0], [MATRIX], Method()),
    "int4": lambda samples: make_int4(
        samples, [MATRIX], Method(rounding="awq+gptq"), foldable=True
    ),
}


@pytest.mark.parametrize("name", WORKS)
def test_sixteen_times_the_samples_take_no_more_memory(name: str) -> None:
    one = LONG * WIDE * 4
    WORKS[name](Passing(2))  # Whatever is made once and kept.
    few, many = peak(WORKS[name], 2), peak(WORKS[name], 32)
    assert many < few + one, f"{few / one:.1f} and {many / one:.1f} samples at once"


def test_rows_and_quantiles_are_those_of_all_tokens_together() -> None:
    chance = np.random.default_rng(1)
    samples = [chance.standard_normal((n, 24)).astype(np.float32) for n in (7, 1, 40)]
    whole = np.concatenate(samples)
    places = np.array([0, 6, 7, 8, 47])
    assert (rows_at(samples, places) == whole[places]).all()
    assert (spread_rows(samples, 16) == whole[::3]).all()
    rows = drawn_rows(samples, 4, 10, np.random.default_rng(2))
    largest = np.argsort(-np.abs(whole).max(axis=1))[:4]
    assert all((rows == whole[place]).all(axis=1).any() for place in largest)
    for share in (0.0, 0.5, 0.999, 0.9999, 1.0):
        assert quantile(samples, share) == pytest.approx(np.quantile(np.abs(whole), share))


def test_what_waits_on_the_disk_comes_back_as_it_was(tmp_path: Path) -> None:
    chance = np.random.default_rng(3)
    values = [chance.standard_normal((2, 5, 8)).astype(np.float16) for _ in range(3)]
    live = Activations([{"x": value} for value in values], tmp_path, limit=3 * values[0].nbytes)
    for number, value in enumerate(values):
        live.put(number, "first", value + 1)
        live.put(number, "second", value + 2)
    for number, value in enumerate(values):
        assert live.get(number, "x") is value
        for name, more in (("first", 1), ("second", 2)):
            found = live.get(number, name)
            assert found.dtype == np.float16 and (found == value + more).all()
    tokens = Tokens(live, "second", 8)
    assert len(tokens) == 3 and tokens[-1].shape == (10, 8)
    assert [sample.dtype for sample in tokens[1:]] == [np.float32, np.float32]
    assert not list(tmp_path.iterdir())
    live.keep_only({"x"})
    with pytest.raises(KeyError):
        live.get(0, "second")


def test_a_disk_that_takes_half_of_a_tensor_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = Activations([{}], tmp_path, limit=0)
    monkeypatch.setattr(os, "pwrite", lambda file, values, place: len(values) // 2)
    with pytest.raises(OSError, match="No space left"):
        live.put(0, "x", np.ones((4, 4), np.float32))


def test_a_walk_over_the_disk_sees_the_same(tmp_path: Path) -> None:
    chance = np.random.default_rng(4)
    feeds = [{"embeds": chance.standard_normal((TOKENS, WIDTH), np.float32)} for _ in range(3)]
    seen = []
    for limit in (1 << 30, 0):
        walk = Walk(two_linears(), feeds, 1, tmp_path, limit)
        seen.append([np.stack(list(stop.samples)) for stop in walk.stops()])
        assert (walk.results()[1]["out"] == run(two_linears(), **feeds[1])[0]).all()
    assert all((one == other).all() for one, other in zip(*seen, strict=True))


def test_a_run_taken_up_again_makes_what_an_unbroken_one_makes(tmp_path: Path) -> None:
    chance = np.random.default_rng(5)
    feeds = [{"embeds": chance.standard_normal((TOKENS * 1, WIDTH), np.float32)}
             for _ in range(20)]  # fmt: skip
    whole = quantise(two_linears(), feeds, "int8", Kept(tmp_path, "whole"))
    quantise(two_linears(), feeds, "int8", Kept(tmp_path, "broken"))
    (tmp_path / "broken" / "second.npz").unlink()
    again = quantise(two_linears(), feeds, "int8", Kept(tmp_path, "broken"))
    assert again.reports == whole.reports
    assert (again.layers["second"].codes == whole.layers["second"].codes).all()
