"""Histograms lose nothing, and agree with NumPy's."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from neon_edge.profile.histogram import PER_OCTAVE, log_histogram, of_feature_age, of_lateness
from neon_edge.profile.present import draw_histogram, octaves

VALUES = st.lists(st.floats(0, 1e6, allow_nan=False), max_size=200).map(np.array)


@given(VALUES)
def test_every_value_is_counted_once_and_the_maximum_is_kept(values: np.ndarray) -> None:
    found = of_lateness(values)
    assert found.below + sum(found.counts) + found.overflow == found.total == len(values)
    assert found.below == (values < 1).sum()
    assert found.overflow == (values >= 65_536).sum()
    assert math.isclose(found.max, values.max() if len(values) else 0, abs_tol=1e-3)
    assert len(found.edges) == len(found.counts) + 1


@given(VALUES)
def test_counts_are_numpys_and_empty_ends_are_cut(values: np.ndarray) -> None:
    found = log_histogram(values, "µs", 1, 65_536)
    ladder = 2.0 ** (np.arange(16 * PER_OCTAVE + 1) / PER_OCTAVE)
    inside = values[(values >= 1) & (values < 65_536)]
    theirs, _ = np.histogram(inside, np.append(ladder[:-1], np.nextafter(65_536, 0)))
    filled = np.flatnonzero(theirs)
    if not len(filled):
        assert found.counts == []
        return
    assert found.counts == theirs[filled[0] : filled[-1] + 1].tolist()
    assert found.counts[0] > 0
    assert found.counts[-1] > 0


def test_edges_double_every_octave_and_a_power_of_two_opens_its_bin() -> None:
    found = of_feature_age(np.array([8.0, 8.0, 63.9]))
    assert (found.edges[0], found.counts[0]) == (8.0, 2)
    assert found.edges[PER_OCTAVE] == 16.0
    assert found.edges[-1] == 64.0


def test_by_octaves_at_the_terminal_with_the_worst_below() -> None:
    values = np.array([*np.full(90, 70.0), *np.full(9, 130.0), 200_000.0, 0.2])
    assert octaves(of_lateness(values)) == [(64.0, 128.0, 90), (128.0, 256.0, 9)]
    drawn = draw_histogram("wake-up lateness", of_lateness(values))
    assert drawn[1].split()[:4] == ["64", "-", "128", "90"]
    assert drawn[-1].strip() == "max 200000 µs, 1 over the last bin, 1 under the first"
    assert draw_histogram("none", of_lateness(np.zeros(0)))[-1].strip().startswith("max 0 µs")
