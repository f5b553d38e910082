"""Order statistics against their definition, counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neon_edge.telemetry.stats import missed, percentiles, rate_hz


@given(st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=300))
def test_each_percentile_is_the_least_value_that_covers_its_share(values: list[int]) -> None:
    found = percentiles(np.array(values, np.int64))
    ordered = sorted(values)
    for share, figure in ((0.5, found.p50), (0.99, found.p99), (0.999, found.p999)):
        assert figure in values
        assert sum(value <= figure for value in values) >= share * len(values)
    assert found.max == ordered[-1]
    assert found.p50 <= found.p99 <= found.p999 <= found.max


def test_the_worst_of_a_short_run_is_not_averaged_away() -> None:
    values = np.array([1.0] * 99 + [100.0])
    assert percentiles(values) == (1.0, 100.0, 100.0, 100.0)


def test_nothing_has_no_percentiles() -> None:
    assert all(math.isnan(figure) for figure in percentiles(np.array([])))


@pytest.mark.parametrize(
    ("stamps", "rate"), [([], 0.0), ([5], 0.0), ([7, 7], 0.0), ([0, 20_000_000, 40_000_000], 50.0)]
)
def test_rate(stamps: list[int], rate: float) -> None:
    assert rate_hz(np.array(stamps, np.int64)) == pytest.approx(rate)


@pytest.mark.parametrize(("numbers", "gaps"), [([], 0), ([3], 0), ([0, 1, 2], 0), ([5, 8, 9], 2)])
def test_missed(numbers: list[int], gaps: int) -> None:
    assert missed(np.array(numbers, np.int64)) == gaps
