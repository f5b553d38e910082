"""Bounds of all joints at once, and what a clamp leaves as it was."""

import msgspec
import numpy as np
import pytest

from neon_edge.safety.limits import Limits
from tests.safety.bench import robot


def limits(**changes: object) -> Limits:
    return Limits(msgspec.structs.replace(robot(), **changes))


def test_bounds_are_the_robot_files_less_the_margin_in_float32() -> None:
    made = limits()
    assert made.lower == pytest.approx([-0.98, -1.98, -2.98, -3.98])
    assert made.upper == pytest.approx([0.98, 1.98, 2.98, 3.98])
    for array in (made.lower, made.upper):
        assert array.dtype == np.float32


def test_a_joint_narrower_than_its_margins_keeps_its_middle() -> None:
    narrow = msgspec.structs.replace(robot().joints[0], lower=0.40, upper=0.42)
    made = limits(joints=[narrow, *robot().joints[1:]])
    assert made.lower[0] == made.upper[0] == pytest.approx(0.41)
    assert made.lower[1] == pytest.approx(-1.98)


def test_positions_are_clamped_in_place_and_the_rest_left_alone() -> None:
    made = limits()
    position = np.float32([-5, 0.5, 5, 3.97])
    made.clamp_position(position)
    assert position.tolist() == [made.lower[0], 0.5, made.upper[2], np.float32(3.97)]
