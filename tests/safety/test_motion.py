"""The motion limiter: nothing faster, nothing past a limit, and it gets there."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neon_edge.safety.motion import MotionLimiter, robot_motion
from tests.safety.bench import robot

PERIOD_S = 0.02
SLACK = 1 + 1e-9


def limiter(velocity: float, acceleration: float, jerk: float, n: int = 1) -> MotionLimiter:
    one = np.ones(n)
    return MotionLimiter(
        -one, one, velocity * one, acceleration * one, jerk * one, period_s=PERIOD_S
    )


def rates(path: np.ndarray) -> tuple[float, float, float]:
    """Largest velocity, acceleration and jerk along (ticks, n), from rest."""
    still = np.repeat(path[:1], 4, axis=0)
    found = []
    moved = np.concatenate([still, path])
    for _ in range(3):
        moved = np.diff(moved, axis=0) / PERIOD_S
        found.append(float(np.abs(moved).max()))
    return found[0], found[1], found[2]


goals = st.lists(st.tuples(st.floats(-3, 3), st.integers(1, 30)), min_size=1, max_size=12)


@settings(max_examples=300, deadline=None)
@given(
    goals=goals,
    velocity=st.floats(0.1, 30),
    acceleration=st.floats(0.5, 500),
    jerk=st.floats(10, 50_000),
    start=st.floats(-1, 1),
)
def test_no_limit_is_passed_whatever_is_wanted(
    goals: list[tuple[float, int]],
    velocity: float,
    acceleration: float,
    jerk: float,
    start: float,
) -> None:
    tested = limiter(velocity, acceleration, jerk)
    tested.reset([start])
    path = [np.array([start])]
    for goal, ticks in goals:
        path += [tested.step([goal]) for _ in range(ticks)]
    walked = np.array(path)
    assert np.abs(walked).max() <= 1 + 1e-9
    speed, change, jolt = rates(walked)
    # Differences of positions near 1 carry 1e-16 of rounding, over a period cubed for the jerk.
    assert speed <= velocity * SLACK + 1e-12 / PERIOD_S
    assert change <= acceleration * SLACK + 1e-11 / PERIOD_S**2
    assert jolt <= jerk * SLACK + 1e-10 / PERIOD_S**3


@settings(max_examples=100, deadline=None)
@given(
    goal=st.floats(-1, 1),
    start=st.floats(-1, 1),
    velocity=st.floats(0.5, 30),
    acceleration=st.floats(5, 500),
)
def test_a_goal_that_stays_is_reached_without_overshoot(
    goal: float, start: float, velocity: float, acceleration: float
) -> None:
    tested = limiter(velocity, acceleration, 20 * acceleration)
    tested.reset([start])
    path = np.array([tested.step([goal])[0] for _ in range(400)])
    assert path[-1] == pytest.approx(goal, abs=1e-9)
    low, high = min(start, goal), max(start, goal)
    assert path.min() >= low - 1e-9
    assert path.max() <= high + 1e-9


def test_it_is_as_fast_as_its_limits_allow() -> None:
    tested = limiter(10.0, 20.0, 1e9)
    tested.reset([-1.0])
    path = [tested.step([1.0])[0] for _ in range(100)]
    arrived = next(k for k, q in enumerate(path) if q > 1 - 1e-9)
    # Bang-bang over 2 rad at 20 rad/s²: 2 √(2 / 20) s, and the ticks at either end.
    assert arrived * PERIOD_S <= 2 * np.sqrt(2 / 20) + 3 * PERIOD_S


def test_a_joint_reset_outside_its_limits_goes_no_further_out_and_comes_in() -> None:
    tested = limiter(1.0, 10.0, 500.0)
    tested.reset([1.04])
    assert [tested.step([1.2])[0] for _ in range(9)] == pytest.approx([1.04] * 9)
    path = [tested.step([0.5])[0] for _ in range(60)]
    assert max(path) <= 1.04 + 1e-12
    assert path[-1] == pytest.approx(0.5, abs=1e-9)
    tested.reset([-1.04])
    assert [tested.step([-1.2])[0] for _ in range(9)] == pytest.approx([-1.04] * 9)
    tested.reset([0.0])
    assert [tested.step([-1.2])[0] for _ in range(99)][-1] == pytest.approx(-1.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_moves_nothing(bad: float) -> None:
    tested = limiter(1.0, 10.0, 500.0, n=3)
    tested.reset([0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="finite"):
        tested.step([0.5, bad, 0.5])
    assert tested.step([0.1, 0.2, 0.3]) == pytest.approx([0.1, 0.2, 0.3])


@pytest.mark.parametrize("period_s", [0.0, -0.02, np.nan])
def test_a_period_that_is_not_positive_is_refused(period_s: float) -> None:
    one = np.ones(2)
    with pytest.raises(ValueError, match="positive"):
        MotionLimiter(-one, one, one, one, one, period_s)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan])
@pytest.mark.parametrize("which", range(3))
def test_a_rate_that_is_not_positive_is_refused(which: int, bad: float) -> None:
    rates = np.ones((3, 2))
    rates[which, 1] = bad
    with pytest.raises(ValueError, match="positive"):
        MotionLimiter(-np.ones(2), np.ones(2), *rates, PERIOD_S)


def test_one_joint_with_crossed_limits_is_enough_and_equal_ones_are_none() -> None:
    one = np.ones(2)
    with pytest.raises(ValueError, match="lower not above upper"):
        MotionLimiter(np.array([-1.0, 1.1]), one, one, one, one, PERIOD_S)
    fixed = MotionLimiter(np.array([-1.0, 1.0]), one, one, one * 9, one * 999, PERIOD_S)
    fixed.reset([0.5, 1.0])
    assert [fixed.step([0.5, -5.0])[1] for _ in range(5)] == [1.0] * 5


@pytest.mark.parametrize(
    ("acceleration", "jerk", "ticks"),
    [
        (10.0, 1e3, 0.0),  # 2A / (J·dt) = 1
        (10.0, 1e15, 0.0),
        (10.0, 500.0, 0.5),
        (10.0, 499.0, 1.0),
        (10.0, 100.0, 4.5),
        (0.1 * 3, 3.0 / 7, 34.5),  # 70, and by rounding a little more
        (1.0 + 0.5e-9, 50.0, 0.5),  # within a billionth of 2 it is 2
        (1.0 + 0.75e-9, 50.0, 1.0),
    ],
)
def test_the_jerk_costs_a_delay_of_half_its_window(
    acceleration: float, jerk: float, ticks: float
) -> None:
    tested = limiter(10.0, acceleration, jerk, n=2)
    assert tested.delay_ticks.tolist() == [ticks, ticks]
    tested.reset([0.0, 0.0])
    plain = limiter(10.0, acceleration, 1e15)
    plain.reset([0.0])
    window = int(2 * ticks + 1)
    still = [0.0] * (window - 1)
    path = still + [float(plain.step([0.4])[0]) for _ in range(200)]
    for tick in range(200):
        mean = np.mean(path[tick : tick + window])
        assert tested.step([0.4, -0.4]) == pytest.approx([mean, -mean], abs=1e-12)


def test_from_rest_it_speeds_up_by_its_acceleration_to_its_velocity() -> None:
    tested = limiter(0.5, 10.0, 1e15)
    for way in (1, -1):
        tested.reset([-0.9 * way])
        speeds = np.diff([-0.9 * way, *(tested.step([5.0 * way])[0] for _ in range(6))])
        assert speeds == pytest.approx(np.array([0.004, 0.008, 0.01, 0.01, 0.01, 0.01]) * way)


def test_a_goal_behind_is_turned_to_at_the_acceleration() -> None:
    tested = limiter(0.5, 10.0, 1e15)
    for way in (1, -1):
        tested.reset([0.0])
        path = [tested.step([way])[0] for _ in range(5)] + [tested.step([0])[0] for _ in range(4)]
        speeds = np.diff(path)[3:]
        assert speeds == pytest.approx(np.array([0.01, 0.006, 0.002, -0.002, -0.006]) * way)


def test_a_reset_stands_still_where_it_is_told() -> None:
    tested = limiter(1.0, 10.0, 100.0, n=2)
    assert tested.step([0.0, 0.0]).tolist() == [0.0, 0.0]
    for _ in range(20):
        tested.step([0.9, -0.9])
    tested.reset([0.5, -0.25])
    assert [tested.step([0.5, -0.25]).tolist() for _ in range(20)] == [[0.5, -0.25]] * 20


def test_each_joint_moves_as_if_it_were_alone() -> None:
    rng = np.random.default_rng(3)
    lower, upper = np.array([-0.5, -1.0, -2.0]), np.array([0.4, 1.0, 3.0])
    rates = np.array([[1.0, 2.0, 8.0], [10.0, 5.0, 50.0], [100.0, 2e3, 700.0]])
    together = MotionLimiter(lower, upper, *rates, PERIOD_S)
    start = np.array([0.1, -0.2, 0.3])
    together.reset(start)
    alone = []
    for k in range(3):
        one = slice(k, k + 1)
        alone.append(MotionLimiter(lower[one], upper[one], *rates[:, one], PERIOD_S))
        alone[k].reset(start[one])
    goal = start
    for _ in range(300):
        goal = np.where(rng.random(3) < 0.05, rng.uniform(-3, 3, 3), goal)
        apart = [float(single.step(goal[k : k + 1])[0]) for k, single in enumerate(alone)]
        assert together.step(goal) == pytest.approx(apart, abs=1e-12)


@settings(max_examples=200, deadline=None)
@given(
    velocity=st.floats(0.1, 30),
    acceleration=st.floats(0.5, 500),
    ticks=st.integers(0, 40),
    way=st.sampled_from([1.0, -1.0]),
)
def test_braking_ends_where_rest_says_after_as_few_ticks_as_the_limit_allows(
    velocity: float, acceleration: float, ticks: int, way: float
) -> None:
    tested = limiter(velocity, acceleration, 1e15)
    tested.reset([-0.9 * way])
    path = [-0.9 * way, *(float(tested.step([0.9 * way])[0]) for _ in range(ticks))]
    rest = tested.rest()
    speed = abs(path[-1] - path[-2]) if ticks else 0.0
    change = acceleration * PERIOD_S**2
    braking = [path[-1]]
    while speed > change:
        speed -= change
        braking.append(braking[-1] + way * speed)
    assert rest[0] == pytest.approx(braking[-1], abs=1e-9)
    for at in braking[1:]:
        assert tested.step(tested.rest())[0] == pytest.approx(at, abs=1e-9)
    assert tested.step(tested.rest()) == pytest.approx(rest, abs=1e-9)
    assert tested.rest() == pytest.approx(rest, abs=1e-9)


def test_a_robots_limiter_takes_each_joints_own_rates_and_the_robots_period() -> None:
    given_rates = msgspec.structs.replace(robot(rates=(8.0, 100.0)), rate_hz=100.0)
    tested = robot_motion(given_rates, np.float32([-1] * 4), np.float32([1] * 4))
    assert tested.delay_ticks.tolist() == [7.5] * 4
    tested.reset([0.0] * 4)
    path = np.array([tested.step([0.9, 0.9, 5.0, -5.0]) for _ in range(300)])
    assert path[-1] == pytest.approx([0.9, 0.9, 1.0, -1.0])
    assert np.abs(np.diff(path, 2, axis=0)).max(axis=0) == pytest.approx([8e-4] * 4)
    own = robot_motion(robot(rates=(0.0, 0.0)), np.float32([-9] * 4), np.float32([9] * 4))
    assert own.delay_ticks.tolist() == [0.5] * 4
    own.reset([0.0] * 4)
    speeds = np.diff([own.step([9.0] * 4) for _ in range(20)], axis=0).max(axis=0) * 50
    assert speeds == pytest.approx([2.0, 3.0, 4.0, 5.0])
