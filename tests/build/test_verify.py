"""Errors of plans in the units of joints."""

import msgspec
import numpy as np
import pytest

from neon_edge.build.verify import ROWS_HZ, error_rows
from neon_edge.engine.manifest import HeadsManifest
from tests.heads.test_fresh import NAMES, manifest


def heads(base: bool) -> HeadsManifest:
    return msgspec.structs.replace(manifest(), base_velocity=base)


def test_an_offset_moves_no_faster_and_a_flicker_does() -> None:
    wanted = np.zeros((2, 4, len(NAMES)), np.float32)
    found = wanted.copy()
    found[:, :, 0] = 0.25
    found[1, 2, 1] = 0.01
    still, flicker, *_ = error_rows(found, wanted, heads(base=False))
    assert (still.max, still.step_max) == (0.25, 0.0)
    assert flicker.max == pytest.approx(0.01)
    assert flicker.step_max == pytest.approx(0.01 * ROWS_HZ)


def test_base_velocities_are_not_radians_and_a_single_row_has_no_neighbour() -> None:
    wanted = np.zeros((2, 1, len(NAMES) + 3), np.float32)
    rows = error_rows(wanted + 0.5, wanted, heads(base=True))
    assert [row.unit for row in rows[-3:]] == ["m/s", "m/s", "rad/s"]
    assert all(row.step_max is None for row in rows)


def test_no_number_is_the_worst_number() -> None:
    wanted = np.zeros((1, 3, len(NAMES)), np.float32)
    found = wanted.copy()
    found[0, 1, 0] = np.nan
    row = error_rows(found, wanted, heads(base=False))[0]
    assert row.max == np.inf
    assert row.step_max == np.inf
