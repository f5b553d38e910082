"""Base velocity: inside its limits whatever heads say, ramped to zero by a hold, zero on a damp."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neon_edge.safety.base import BaseMotion
from neon_edge.safety.watch import Cause
from neon_edge.types import Health, Rung
from tests.safety.bench import Bench, robot

FASTEST = np.float32([1.5, 0.5, 1.0])
CHANGE = np.array([3.0, 1.0, 2.0]) / 50  # the default: full speed in half a second
ANY = st.floats(width=32, allow_nan=True, allow_infinity=True)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(ANY, ANY, ANY, st.floats(0, 1), st.sampled_from("tbs")), max_size=40))
def test_no_limit_is_passed_and_no_nan_leaves(steps: list[tuple[float, ...]]) -> None:
    motion = BaseMotion(robot())
    before = np.zeros(3, np.float32)
    for *wanted, share, kind in steps:
        if kind == "t":
            after = motion.towards(np.array(wanted, np.float32), share=float(share)).copy()
        else:
            after = (motion.brake() if kind == "b" else motion.stop()).copy()
        assert np.isfinite(after).all()
        assert (np.abs(after) <= FASTEST).all()
        change = np.abs(after.astype(np.float64) - before)
        assert kind == "s" or (change <= CHANGE + 1e-7).all()
        assert kind != "b" or (np.abs(after) <= np.abs(before)).all()
        before = after


def test_a_velocity_that_stays_is_reached_exactly_in_the_stated_time() -> None:
    motion = BaseMotion(robot())
    reached = [motion.towards(np.float32([1.5, -0.5, 1.0]), share=1.0).copy() for _ in range(26)]
    assert (np.abs(reached[23]) < FASTEST).all()
    assert reached[25].tolist() == [1.5, -0.5, 1.0]


def test_full_speed_is_the_limit_both_ways() -> None:
    for sign in (1, -1):
        motion = BaseMotion(robot())
        wanted = sign * np.float32([9, 9, 9])
        for _ in range(40):
            motion.towards(wanted, share=1.0)
        assert (sign * motion.velocity).tolist() == FASTEST.tolist()


def test_a_rate_that_float32_cannot_hold_is_rounded_down() -> None:
    limits = (0.7, 0.35, 0.9)
    motion = BaseMotion(msgspec.structs.replace(robot(), base_acceleration_limits=limits))
    first = motion.towards(np.float32([9, 9, 9]), share=1.0).astype(np.float64)
    assert (first < np.array(limits) / 50).all()


def test_acceleration_limits_are_the_robot_files() -> None:
    motion = BaseMotion(msgspec.structs.replace(robot(), base_acceleration_limits=(5.0, 10.0, 2.5)))
    assert motion.towards(np.float32([9, 9, -9]), share=1.0) == pytest.approx([0.1, 0.2, -0.05])


def test_one_axis_that_is_no_number_stops_all_three() -> None:
    motion = BaseMotion(robot())
    motion.towards(np.float32([1, 0.4, 0]), share=1.0)
    assert motion.towards(np.float32([1, np.nan, 0]), share=1.0).tolist() == [0, 0, 0]


def test_a_hold_ramps_to_zero_and_a_damp_is_zero_at_once() -> None:
    bench = Bench()
    for _ in range(120):
        before = float(bench.tick(0.3, base=(1.2, 0, 0)).base_velocity[0])
    assert before == pytest.approx(1.2)
    for _ in range(21):
        held = bench.tick(0.3, base=(1.2, 0, 0), features_age_ms=2000)
        now = float(held.base_velocity[0])
        assert held.rung is Rung.HOLD
        assert before - now == pytest.approx(min(0.06, before), abs=1e-6)
        before = now
    assert before == 0
    for _ in range(120):
        moving = bench.tick(0.3, base=(1.2, 0, 0))
    assert moving.base_velocity[0] == pytest.approx(1.2)
    damped = bench.tick(0.3, base=(1.2, 0, 0), health=Health(stop_pressed=True))
    assert damped.rung is Rung.DAMP
    assert damped.base_velocity.tolist() == [0, 0, 0]


def test_off_is_zero_at_once() -> None:
    bench = Bench()
    for _ in range(120):
        bench.tick(0.3, base=(1.2, 0, 0))
    bench.filter.disarm()
    off = bench.tick(0.3, base=(1.2, 0, 0))
    assert off.rung is Rung.OFF
    assert off.base_velocity.tolist() == [0, 0, 0]


def test_a_filter_starts_from_a_standing_base() -> None:
    bench = Bench()
    for _ in range(120):
        bench.tick(0.3, base=(1.2, 0, 0))
    bench.filter.start(bench.measured, bench.now_ns)
    assert abs(bench.tick(0.3, base=(1.2, 0, 0)).base_velocity[0]) < 0.01


@pytest.mark.parametrize(
    ("age_ms", "rung"), [(0, Rung.RUN), (200, Rung.RUN), (200.000001, Rung.HOLD)]
)
def test_a_silent_base_holds(age_ms: float, rung: Rung) -> None:
    bench = Bench()
    bench.tick(0.0)
    assert bench.tick(0.0, base_age_ms=age_ms).rung is rung
    assert (bench.filter.cause is Cause.BASE_SILENT) == (rung is Rung.HOLD)


def test_a_base_that_never_answered_is_as_silent_as_one_that_stopped() -> None:
    bench = Bench()
    bench.tick(0.0)
    since_zero_ms = (bench.now_ns + 20_000_000) / 1e6
    assert bench.tick(0.0, base_age_ms=since_zero_ms).rung is Rung.HOLD
    assert bench.filter.cause is Cause.BASE_SILENT


def test_a_robot_without_a_base_does_not_miss_one() -> None:
    bench = Bench()
    assert bench.tick(0.0, base_age_ms=None).rung is Rung.RUN
