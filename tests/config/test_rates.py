"""What a robot file says of acceleration and jerk, and what holds where it says nothing."""

from __future__ import annotations

import msgspec
import pytest

from neon_edge.config import load_robot
from neon_edge.config.check import check_robot
from neon_edge.errors import ConfigWrong

ROBOT = load_robot("sim")


def test_without_them_full_speed_takes_a_tenth_of_a_second() -> None:
    plain = msgspec.structs.replace(ROBOT.joints[0], velocity=4.0, acceleration=0.0, jerk=0.0)
    assert (plain.acceleration_limit, plain.jerk_limit) == (pytest.approx(40), pytest.approx(2000))
    given = msgspec.structs.replace(plain, acceleration=10.0)
    assert (given.acceleration_limit, given.jerk_limit) == (10.0, pytest.approx(500))
    assert msgspec.structs.replace(given, jerk=70.0).jerk_limit == 70.0


def test_a_jerk_that_delays_too_much_is_refused_with_the_delay() -> None:
    slow = msgspec.structs.replace(ROBOT.joints[0], acceleration=10.0, jerk=49.0)
    with pytest.raises(ConfigWrong, match=r"delays it by 0\.204 s; 0\.2 s at most"):
        check_robot(msgspec.structs.replace(ROBOT, joints=[slow, *ROBOT.joints[1:]]))
    fine = msgspec.structs.replace(slow, jerk=50.0)
    check_robot(msgspec.structs.replace(ROBOT, joints=[fine, *ROBOT.joints[1:]]))
