"""Errors of plans in the units of joints."""

import msgspec
import numpy as np
import pytest

from neon_edge.build.recipe import Quantise
from neon_edge.build.verify import ROWS_HZ, _joint_gates, error_rows
from neon_edge.build.verify_units import column_gates, worst_moments
from neon_edge.engine.manifest import Gate, HeadsManifest, Verification
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


LIMITS = Quantise(
    joint_p99_rad=0.01,
    joint_max_rad=0.1,
    joint_rad_s=2.0,
    base_m_s=0.2,
    base_rad_s=0.3,
    opening=0.4,
).limits(Verification("s", "", "wave", 1e-4, 1e-4))


def gates(error: np.typing.NDArray[np.float32]) -> dict[str, Gate]:
    wanted = np.zeros_like(error)
    robot = msgspec.structs.replace(heads(base=True), grippers=["c"])
    return {gate.unit: gate for gate in column_gates("all", error, wanted, LIMITS, robot)}


def test_every_unit_has_a_limit_of_its_own() -> None:
    error = np.zeros((2, 4, len(NAMES) + 3), np.float32)
    error[1, 2] = [0.05, 0.09, 0.35, 0.15, 0.1, 0.25]
    found = gates(error)
    assert all(gate.passed for gate in found.values())
    assert {unit: gate.limit for unit, gate in found.items()} == {
        "rad": 0.1, "opening": 0.4, "m/s": 0.2, "rad/s": 0.3,
    }  # fmt: skip
    assert found["opening"].worst == "c" and found["m/s"].worst == "base vx (m/s)"
    for column, unit in enumerate(["rad", "rad", "opening", "m/s", "m/s", "rad/s"]):
        one = error.copy()
        one[0, 0, column] = -0.5
        assert [unit for unit, gate in gates(one).items() if not gate.passed] == [unit]


def test_a_float_recipe_has_one_limit_for_all() -> None:
    plain = Verification("s", "", "wave", 1e-4, 2e-4)
    assert {plain.limit(unit) for unit in ("rad", "opening", "m/s", "rad/s")} == {2e-4}


def test_p99_is_of_angles_alone_and_what_moves_between_ticks_is_gated() -> None:
    wanted = np.zeros((2, 4, len(NAMES) + 3), np.float32)
    found = wanted.copy()
    found[..., -1] = 0.25  # of the base, within its own limit
    p99, ticks = _joint_gates(error_rows(found, wanted, heads(base=True)), LIMITS)
    assert p99.passed and p99.unit == "rad" and p99.measured == 0
    found[1, 2, 1] = 0.05
    p99, ticks = _joint_gates(error_rows(found, wanted, heads(base=True)), LIMITS)
    assert ticks.measured == pytest.approx(0.05 * ROWS_HZ) and ticks.limit == 2.0
    assert not ticks.passed and ticks.worst == "b" and ticks.unit == "rad/s"
    assert not p99.passed and p99.worst == "b"


def test_a_worst_moment_is_told_in_its_own_unit() -> None:
    wanted = np.zeros((4, 2, len(NAMES) + 3), np.float32)
    found = wanted.copy()
    found[1, 0, -1] = 0.2  # two thirds of its limit
    found[3, 1, 0] = 0.09  # nine tenths
    said = worst_moments(found, wanted, LIMITS, heads(base=True), ["one", "two"])
    assert said == [(1, "two: a off by 0.09 rad"), (0, "one: base omega (rad/s) off by 0.2 rad/s")]


def test_no_number_is_the_worst_number() -> None:
    wanted = np.zeros((1, 3, len(NAMES)), np.float32)
    found = wanted.copy()
    found[0, 1, 0] = np.nan
    row = error_rows(found, wanted, heads(base=False))[0]
    assert row.max == np.inf
    assert row.step_max == np.inf
