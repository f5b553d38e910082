"""The motion limiter: nothing faster, nothing past a limit, and it gets there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neon_edge.safety.motion import MotionLimiter

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


def test_a_joint_outside_its_limits_comes_back_in() -> None:
    tested = limiter(1.0, 10.0, 500.0)
    tested.reset([1.04])
    path = [tested.step([1.2])[0] for _ in range(60)]
    assert max(path) <= 1.04 + 1e-12
    assert path[-1] == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_moves_nothing(bad: float) -> None:
    tested = limiter(1.0, 10.0, 500.0, n=3)
    tested.reset([0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="finite"):
        tested.step([0.5, bad, 0.5])
    assert tested.step([0.1, 0.2, 0.3]) == pytest.approx([0.1, 0.2, 0.3])


def test_limits_that_make_no_sense_are_refused() -> None:
    one = np.ones(1)
    with pytest.raises(ValueError, match="positive"):
        MotionLimiter(-one, one, one, one * 0, one, PERIOD_S)
    with pytest.raises(ValueError, match="positive"):
        MotionLimiter(one, -one, one, one, one, PERIOD_S)
