"""Every rung, every cause, every threshold from both sides; damp and off are never left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neon_edge.config import SafetyLimits
from neon_edge.safety.watch import RUNNING, Cause, faded
from neon_edge.types import Health, Rung
from tests.safety.bench import Bench

NAN = float("nan")

# change to a healthy tick → rung, cause, culprit. Each threshold stands here from both sides.
TABLE: list[tuple[dict[str, Any], Rung, Cause, int]] = [
    ({}, Rung.RUN, Cause.NONE, -1),
    ({"features_age_ms": None}, Rung.HOLD, Cause.NO_FEATURES, -1),
    ({"features_age_ms": 400}, Rung.RUN, Cause.NONE, -1),
    ({"features_age_ms": 401}, Rung.SCALE, Cause.FEATURES_OLD, -1),
    ({"features_age_ms": 1000}, Rung.SCALE, Cause.FEATURES_OLD, -1),
    ({"features_age_ms": 1001}, Rung.HOLD, Cause.FEATURES_OLD, -1),
    ({"joint_age_ms": 60}, Rung.RUN, Cause.NONE, -1),
    ({"joint_age_ms": 61}, Rung.HOLD, Cause.JOINT_SILENT, 0),
    ({"joint_age_ms": 200}, Rung.HOLD, Cause.JOINT_SILENT, 0),
    ({"joint_age_ms": 201}, Rung.DAMP, Cause.JOINT_SILENT, 0),
    ({"setpoint_age_ms": 60}, Rung.RUN, Cause.NONE, -1),
    ({"setpoint_age_ms": 61}, Rung.HOLD, Cause.HEAD_LATE, -1),
    ({"after_ms": 60}, Rung.RUN, Cause.NONE, -1),
    ({"after_ms": 61}, Rung.HOLD, Cause.HEAD_LATE, -1),
    ({"wanted": NAN}, Rung.HOLD, Cause.NOT_FINITE, -1),
    ({"base": (0, NAN, 0)}, Rung.HOLD, Cause.NOT_FINITE, -1),
    ({"health": Health(bus_missing=0.049)}, Rung.RUN, Cause.NONE, -1),
    ({"health": Health(bus_missing=0.05)}, Rung.SCALE, Cause.BUS_DROPPING, -1),
    ({"health": Health(bus_missing=0.199)}, Rung.SCALE, Cause.BUS_DROPPING, -1),
    ({"health": Health(bus_missing=0.2)}, Rung.HOLD, Cause.BUS_DROPPING, -1),
    ({"health": Health(bus_missing=0.499)}, Rung.HOLD, Cause.BUS_DROPPING, -1),
    ({"health": Health(bus_missing=0.5)}, Rung.DAMP, Cause.BUS_DROPPING, -1),
    ({"health": Health(tilt_rad=1.0)}, Rung.RUN, Cause.NONE, -1),
    ({"health": Health(tilt_rad=1.01)}, Rung.DAMP, Cause.TILTED, -1),
    ({"health": Health(tilt_rad=-1.01)}, Rung.DAMP, Cause.TILTED, -1),
    ({"health": Health(tilt_rad=NAN)}, Rung.DAMP, Cause.TILTED, -1),
    ({"health": Health(faulty_joint=0)}, Rung.DAMP, Cause.MOTOR_FAULT, 0),
    ({"health": Health(faulty_joint=3)}, Rung.DAMP, Cause.MOTOR_FAULT, 3),
    ({"health": Health(stop_pressed=True)}, Rung.DAMP, Cause.STOP_PRESSED, -1),
]


@pytest.mark.parametrize(("change", "rung", "cause", "joint"), TABLE)
def test_each_cause_asks_for_its_rung(
    change: dict[str, Any], rung: Rung, cause: Cause, joint: int
) -> None:
    bench = Bench()
    bench.tick(0.2)
    command = bench.tick(**({"wanted": 0.2} | change))
    assert (command.rung, bench.filter.now.cause, bench.filter.now.joint) == (rung, cause, joint)


def test_the_gravest_cause_wins_and_of_equals_the_first() -> None:
    bench = Bench()
    bench.tick(0.2)
    worst = bench.tick(
        NAN, features_age_ms=2000, joint_age_ms=300, health=Health(faulty_joint=2, bus_missing=1.0)
    )
    assert (worst.rung, bench.filter.cause) == (Rung.DAMP, Cause.MOTOR_FAULT)
    bench = Bench()
    bench.tick(0.2)
    bench.tick(NAN, features_age_ms=2000, joint_age_ms=100)
    assert bench.filter.cause is Cause.JOINT_SILENT


def test_a_velocity_out_of_bounds_damps_after_three_ticks_in_a_row() -> None:
    bench = Bench()
    fast = np.array([0, 0, 6.1, 0], dtype=np.float32)  # joint 2 may do 4 rad/s, trips above 6
    rungs = [bench.tick(0.2, velocity=v).rung for v in (fast, fast, 0.0, fast, fast)]
    assert rungs == [Rung.RUN] * 5
    assert bench.tick(0.2, velocity=fast).rung is Rung.DAMP
    assert (bench.filter.cause, bench.filter.now.joint) == (Cause.TOO_FAST, 2)


def test_the_velocity_limit_counts_both_ways_and_includes_its_own_value() -> None:
    bench = Bench()
    for _ in range(10):
        assert bench.tick(0.2, velocity=np.float32([-3, 4.5, -6, 7.5])).rung is Rung.RUN
    bench = Bench()
    for _ in range(3):
        command = bench.tick(0.2, velocity=np.float32([-3.01, 0, 0, 0]))
    assert command.rung is Rung.DAMP


def test_a_velocity_that_is_not_a_number_counts_as_too_fast() -> None:
    bench = Bench()
    for _ in range(3):
        command = bench.tick(0.2, velocity=np.float32([0, NAN, 0, 0]))
    assert (command.rung, bench.filter.now.joint) == (Rung.DAMP, 1)


def test_not_finite_for_half_a_second_damps_and_a_good_tick_starts_the_count_again() -> None:
    bench = Bench()
    for _ in range(24):
        assert bench.tick(NAN).rung is Rung.HOLD
    bench.tick(0.1)
    for _ in range(24):
        assert bench.tick(NAN).rung is Rung.HOLD
    assert bench.tick(NAN).rung is Rung.DAMP


def test_scale_fades_motion_in_proportion() -> None:
    steps = []
    for age in (100, 700, 990):
        bench = Bench()
        for _ in range(80):
            before = bench.tick(0.3, base=(1, 0, 0)).position.copy()
        after = bench.tick(0.32, features_age_ms=age, base=(1, 0, 0))
        step = float((after.position - before)[0])
        for _ in range(20):  # the base brakes to its share at 3 m/s²
            after = bench.tick(0.32, features_age_ms=age, base=(1, 0, 0))
        steps.append((step, float(after.base_velocity[0])))
    assert steps[0] == pytest.approx((0.02, 1.0), rel=1e-4)
    assert steps[1] == pytest.approx((0.01, 0.5), rel=1e-3)
    assert steps[2] == pytest.approx((0.02 / 60, 1 / 60), rel=1e-2)


def test_a_scaled_robot_that_recovers_runs_on_without_a_ramp() -> None:
    bench = Bench()
    for _ in range(80):
        bench.tick(0.3)
    bench.tick(0.3, features_age_ms=700)
    assert bench.tick(0.32).position[0] == pytest.approx(0.32, abs=1e-6)


def test_a_hold_that_lasts_becomes_a_damp_and_stays_one() -> None:
    bench = Bench()
    bench.tick(0.2)
    held = [bench.tick(0.2, features_age_ms=2000).rung for _ in range(150)]
    assert held == [Rung.HOLD] * 150
    damped = bench.tick(0.2, features_age_ms=2000)
    assert (damped.rung, bench.filter.cause) == (Rung.DAMP, Cause.HELD_TOO_LONG)
    for _ in range(500):
        assert bench.tick(0.2).rung is Rung.DAMP


def test_holds_of_changing_cause_are_one_hold() -> None:
    bench = Bench()
    bench.tick(0.2)
    for k in range(150):
        change: dict[str, Any] = {"features_age_ms": 2000} if k % 2 else {"joint_age_ms": 100}
        assert bench.tick(0.2, **change).rung is Rung.HOLD
    assert bench.tick(0.2, features_age_ms=2000).rung is Rung.DAMP


def test_an_interrupted_hold_starts_counting_again() -> None:
    bench = Bench()
    for _ in range(3):
        for _ in range(140):
            assert bench.tick(0.2, features_age_ms=2000).rung is Rung.HOLD
        assert bench.tick(0.2).rung is Rung.RUN


def test_zero_holds_for_ever() -> None:
    bench = Bench(safety=SafetyLimits(hold_damp_after_s=0))
    for _ in range(2000):
        command = bench.tick(0.2, features_age_ms=5000)
    assert command.rung is Rung.HOLD


def test_damped_for_long_enough_is_torque_off_for_ever() -> None:
    bench = Bench(safety=SafetyLimits(damp_off_after_s=1.0))
    bench.tick(0.2)
    bench.tick(0.2, health=Health(stop_pressed=True))
    rungs = [bench.tick(0.2).rung for _ in range(50)]
    assert rungs == [Rung.DAMP] * 49 + [Rung.OFF]
    assert bench.filter.cause is Cause.DAMPED_TOO_LONG
    off = bench.tick(0.2)
    assert (off.rung, bench.filter.cause) == (Rung.OFF, Cause.DAMPED_TOO_LONG)
    assert not off.kd.any()


def test_gains_follow_the_rung() -> None:
    bench = Bench()
    run = bench.tick(0.2)
    assert run.kp.all()
    assert run.kd.all()
    hold = bench.tick(0.2, features_age_ms=2000)
    assert hold.kp.all()
    damp = bench.tick(0.2, health=Health(stop_pressed=True))
    assert not damp.kp.any()
    assert damp.kd.all()
    assert not damp.base_velocity.any()
    for command in (run, hold, damp):
        assert not command.velocity.any()
        assert not command.torque.any()


def test_arming_again_is_the_only_way_back_and_ramps_from_where_it_stands() -> None:
    bench = Bench()
    for _ in range(80):
        bench.tick(0.5)
    bench.tick(0.5, health=Health(stop_pressed=True))
    bench.measured = np.array([-0.3, -0.4, 0.1, 0.0], dtype=np.float32)  # it sank
    for _ in range(100):
        assert bench.tick(0.5).rung is Rung.DAMP
    bench.filter.start(bench.measured, bench.now_ns)
    first = bench.tick(0.5)
    assert first.rung is Rung.RUN
    assert np.abs(first.position - bench.measured).max() < 2e-4
    for _ in range(60):
        last = bench.tick(0.5)
    assert last.position == pytest.approx(0.5, abs=1e-5)


def test_arming_with_the_stop_still_pressed_damps_at_once() -> None:
    bench = Bench()
    bench.tick(0.5, health=Health(stop_pressed=True))
    bench.filter.start(bench.measured, bench.now_ns)
    assert bench.tick(0.5, health=Health(stop_pressed=True)).rung is Rung.DAMP


def test_arming_forgets_what_was_counted_before() -> None:
    bench = Bench()
    for _ in range(2):
        bench.tick(0.2, velocity=100.0)
    for _ in range(24):
        bench.tick(NAN)
    bench.filter.start(bench.measured, bench.now_ns)
    assert bench.tick(NAN, velocity=100.0).rung is Rung.HOLD
    bench.filter.start(bench.measured, bench.now_ns + 10**12)
    bench.now_ns += 10**12
    assert bench.tick(0.2).rung is Rung.RUN


def test_the_age_of_vision_is_that_of_what_was_last_followed() -> None:
    bench = Bench()
    followed = bench.tick(0.2, features_age_ms=100)
    held = bench.tick(0.2, features_age_ms=2000)
    assert held.features_ns == followed.features_ns == followed.at_ns - 100_000_000


def test_a_fade_is_a_straight_line_between_its_ends() -> None:
    values = [faded(value, 400, 1000) for value in (0, 400, 550, 700, 1000, 5000)]
    assert values == pytest.approx([1, 1, 0.75, 0.5, 0, 0])
    assert RUNNING.scale == 1.0


def test_disarmed_means_no_torque_until_somebody_arms() -> None:
    bench = Bench()
    bench.filter.disarm()
    for _ in range(300):
        off = bench.tick(0.2, base=(1, 0, 0))
    assert (off.rung, bench.filter.cause) == (Rung.OFF, Cause.DISARMED)
    assert not off.kp.any()
    assert not off.kd.any()
    assert not off.base_velocity.any()
    bench.filter.start(bench.measured, bench.now_ns)
    assert bench.tick(0.2).rung is Rung.RUN
