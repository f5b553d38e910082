"""Through the filter: no velocity, acceleration, jerk or position beyond a joint's limit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neon_edge.config import SafetyLimits
from neon_edge.types import Rung
from tests.safety.bench import TICK_NS, Bench, N, robot

PERIOD_S = TICK_NS / 1e9
QUICK = SafetyLimits(ramp_s=0.1)
ROUNDING = 6e-8 * 4
"""Of one float32 position within ±4 rad; a difference of order k has up to 2^k of them."""

WANTED = st.one_of(
    st.floats(-5, 5, width=32), st.sampled_from([np.nan, np.inf, -np.inf, 1e30, -0.98, 3.98])
)
AGES = st.sampled_from([100.0, 100.0, 100.0, 500.0, 700.0, 900.0, 2000.0, None])
STRETCHES = st.lists(
    st.tuples(st.lists(WANTED, min_size=N, max_size=N), AGES, st.integers(1, 25)),
    min_size=1, max_size=10,
)  # fmt: skip


def rates(path: np.ndarray) -> list[np.ndarray]:
    """Largest velocity, acceleration and jerk of every joint along (ticks, N), from rest."""
    moved, found = np.concatenate([np.repeat(path[:1], 4, axis=0), path]).astype(np.float64), []
    for _ in range(3):
        moved = np.diff(moved, axis=0) / PERIOD_S
        found.append(np.abs(moved).max(axis=0))
    return found


def bench_of(acceleration: float, jerk: float) -> Bench:
    return Bench(config=robot(QUICK, (acceleration, jerk)))


@settings(max_examples=200, deadline=None)
@given(
    STRETCHES,
    st.one_of(st.just(0.0), st.floats(1, 300)),
    st.one_of(st.just(0.0), st.floats(100, 20_000)),
    st.sampled_from([0.0, 0.04, -0.04]),
)
def test_no_limit_is_passed_whatever_heads_say_and_whatever_rung_it_is(
    stretches: list[tuple[list[float], float | None, int]],
    acceleration: float,
    jerk: float,
    outside: float,
) -> None:
    bench = bench_of(acceleration, jerk)
    lower = np.array([joint.lower + 0.02 for joint in bench.robot.joints])
    upper = -lower
    bench.measured[0] = upper[0] + outside
    bench.filter.start(bench.measured, bench.now_ns)
    path = [bench.measured.copy()]
    for wanted, age, ticks in stretches:
        row = np.array(wanted, np.float32)
        path += [bench.tick(row, features_age_ms=age).position.copy() for _ in range(ticks)]
    walked = np.array(path)
    assert np.isfinite(walked).all()
    assert (walked >= np.minimum(lower, walked[0]) - 1e-6).all()
    assert (walked <= np.maximum(upper, walked[0]) + 1e-6).all()
    limits = [
        [getattr(joint, name) for joint in bench.robot.joints]
        for name in ("velocity", "acceleration_limit", "jerk_limit")
    ]
    for order, (reached, limit) in enumerate(zip(rates(walked), limits, strict=True), start=1):
        slack = ROUNDING * 2**order / PERIOD_S**order
        assert (reached <= np.array(limit) * (1 + 1e-6) + slack).all(), (order, reached, limit)


@pytest.mark.parametrize("way", [1, -1])
def test_a_hold_brakes_within_the_limits_and_then_stays(way: int) -> None:
    bench = bench_of(8.0, 1e6)
    for _ in range(8):
        before = bench.tick(9.0 * way).position.copy()
        moving = bench.tick(9.0 * way).position.copy()
    speed = float((moving - before)[1] / PERIOD_S)
    assert abs(speed) > 1
    held = [bench.tick(9.0 * way, features_age_ms=2000).position.copy() for _ in range(60)]
    assert bench.filter.now.rung is Rung.HOLD
    walked = np.array(held)
    slower = np.diff(walked[:, 1]) / PERIOD_S
    assert (np.diff(np.abs(slower)) <= 1e-4).all()
    assert slower[0] * way < speed * way
    assert slower[-1] == 0
    stretch = abs(float(walked[-1, 1] - moving[1]))
    assert stretch == pytest.approx(speed**2 / 2 / 8.0, abs=abs(speed) * PERIOD_S)


def test_after_a_braking_hold_the_ramp_begins_where_the_joints_came_to_rest() -> None:
    bench = bench_of(8.0, 400.0)
    for _ in range(20):
        bench.tick(9.0)
    braked = [bench.tick(9.0, features_age_ms=2000).position.copy() for _ in range(60)][-1]
    back = bench.tick(9.0)
    assert back.rung is Rung.RUN
    assert np.array_equal(back.position, braked)


def test_a_hold_shorter_than_its_braking_turns_nothing_round() -> None:
    bench = bench_of(4.0, 200.0)
    for _ in range(25):
        bench.tick(2.5)
    walked = [bench.tick(2.5, features_age_ms=2000).position.copy()]
    walked += [bench.tick(2.5).position.copy() for _ in range(100)]
    assert (np.diff(np.array(walked), axis=0) >= -1e-6).all()


def test_scaled_to_nothing_is_a_hold() -> None:
    paths = []
    for age in (1000.0, 1000.001):
        bench = bench_of(8.0, 400.0)
        for _ in range(25):
            bench.tick(9.0)
        paths.append([bench.tick(9.0, features_age_ms=age).position.copy() for _ in range(40)])
    assert np.array(paths[0]) == pytest.approx(np.array(paths[1]), abs=1e-6)


def test_a_scaled_robot_arrives_without_overshoot() -> None:
    bench = bench_of(8.0, 400.0)
    wanted = np.float32([0.9, 0.9, -0.9, -0.9])
    walked = np.array([bench.tick(wanted, features_age_ms=700).position.copy() for _ in range(300)])
    assert walked[-1] == pytest.approx(wanted, abs=1e-5)
    assert (np.abs(walked - wanted).min(axis=0) < 1e-5).all()
    assert ((walked - wanted) * np.sign(wanted - bench.measured) <= 1e-6).all()


def test_a_loop_that_stood_still_starts_from_rest() -> None:
    bench = bench_of(8.0, 1e6)
    for _ in range(12):
        moving = bench.tick(9.0).position.copy()
    late = bench.tick(9.0, after_ms=60.000001)
    assert late.rung is Rung.HOLD
    assert np.array_equal(late.position, moving)
    assert np.array_equal(bench.tick(9.0).position, moving)


def test_a_loop_that_is_late_but_not_still_goes_on_as_it_was() -> None:
    bench = bench_of(8.0, 1e6)
    for _ in range(12):
        before = bench.tick(9.0).position.copy()
        moving = bench.tick(9.0).position.copy()
    step = (bench.tick(9.0, after_ms=60).position - moving)[3]
    assert step >= (moving - before)[3] > 0.03


def test_a_first_tick_that_comes_late_moves_nothing() -> None:
    bench = bench_of(8.0, 400.0)
    late = bench.tick(9.0, after_ms=1000)
    assert late.rung is Rung.HOLD
    assert np.array_equal(late.position, bench.measured)
    for _ in range(40):
        bench.tick(9.0)
    again = np.float32([0.1, 0.2, 0.3, 0.4])
    bench.filter.start(again, bench.now_ns)
    assert np.array_equal(bench.tick(9.0, after_ms=1000).position, again)


def test_a_start_forgets_what_was_moving() -> None:
    bench = bench_of(8.0, 400.0)
    for _ in range(25):
        bench.tick(9.0)
    bench.filter.start(bench.measured, bench.now_ns)
    assert np.array_equal(bench.tick(bench.measured).position, bench.measured)
