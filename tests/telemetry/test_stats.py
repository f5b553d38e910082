"""Order statistics against their definition, counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neon_edge.telemetry.mapped import row_dtype
from neon_edge.telemetry.ring import TickRing
from neon_edge.telemetry.stats import Durations, Missed, percentiles, rate_hz


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


@given(
    st.lists(st.integers(0, 10**13), min_size=1, max_size=300),
    st.integers(1, 7),
)
def test_counted_percentiles_are_the_exact_ones_and_less_than_1_percent_more(
    values: list[int], parts: int
) -> None:
    counted = Durations()
    for part in np.array_split(np.array(values, np.int64), parts):
        counted.add(part)
    exact = percentiles(np.array(values, np.int64))
    for ours, theirs in zip(counted.percentiles(), exact, strict=True):
        assert theirs <= ours <= theirs * 1.01
        assert theirs > 255 or ours == theirs
    assert counted.percentiles().max == max(values)


def test_a_duration_beyond_all_bins_is_counted_and_none_has_no_percentiles() -> None:
    counted = Durations()
    assert math.isnan(counted.percentiles().p50)
    counted.add(np.array([-5, 2**62]))
    assert counted.percentiles() == (86_400e9, 86_400e9, 86_400e9, 86_400e9)


def rows(numbers: list[int], places: list[int] | None = None) -> np.ndarray:
    made = np.zeros(len(numbers), row_dtype(TickRing.FIELDS))
    made["number"] = numbers
    made["row"] = places or np.arange(1, len(numbers) + 1)
    return made


@pytest.mark.parametrize(
    ("numbers", "gaps"),
    [([], 0), ([0, 1, 2], 0), ([0, 1, 2, 5, 6], 2), ([3, 4], 3), ([0, 1, 3, 0, 1, 2, 5], 3),
     ([0, 1, 3, 2], 3), ([7, 7], 14)],
)  # fmt: skip
@pytest.mark.parametrize("at_once", [True, False])
def test_missed_is_what_each_control_process_left_out(
    numbers: list[int], gaps: int, at_once: bool
) -> None:
    missed, made = Missed(), rows(numbers)
    for part in [made] if at_once else [made[at : at + 1] for at in range(len(made))]:
        missed.add(part)
    assert missed.total == gaps


def test_rows_that_were_overwritten_unread_are_no_missed_ticks() -> None:
    missed = Missed()
    missed.add(rows([0, 1], [1, 2]))
    missed.add(rows([300, 303], [301, 302]))
    assert missed.total == 2
    late = Missed()
    late.add(rows([1000, 1001], [1001, 1002]))
    assert late.total == 0
