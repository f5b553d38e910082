"""Nothing that is not finite, too far or too fast ever becomes a joint command."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from neon_edge.config import SafetyLimits
from neon_edge.errors import ConfigWrong
from neon_edge.safety.filter import smooth
from neon_edge.safety.watch import Cause
from neon_edge.types import Features, Health, JointState, Rung, Setpoint
from tests.safety.bench import START_NS, Bench, N, robot


def test_the_first_command_is_where_the_robot_stands() -> None:
    bench = Bench()
    command = bench.tick(1.0)
    assert np.abs(command.position - bench.measured).max() < 2e-4
    assert command.rung is Rung.RUN


def test_the_ramp_arrives_after_its_time_and_not_before() -> None:
    bench = Bench()
    early = [bench.tick(0.9).position.copy() for _ in range(25)][-1]
    late = [bench.tick(0.9).position.copy() for _ in range(40)][-1]
    assert np.abs(early - 0.9).min() > 0.01
    assert np.abs(late - 0.9).max() < 1e-6


def test_smooth_starts_and_ends_at_rest() -> None:
    steps = np.array([smooth(x) for x in np.linspace(-0.5, 1.5, 2001)])
    assert steps[0] == 0
    assert steps[-1] == 1
    assert (np.diff(steps) >= 0).all()
    assert smooth(0.5) == pytest.approx(0.5)
    assert np.diff(steps).max() < 0.002


SETPOINTS = arrays(
    np.float32, (30, N),
    elements=st.one_of(
        st.floats(-10, 10, width=32), st.sampled_from([np.nan, np.inf, -np.inf, 3e38, -3e38]),
    ),
)  # fmt: skip


@settings(max_examples=200)
@given(SETPOINTS, st.lists(st.sampled_from([None, 10.0, 5000.0]), min_size=30, max_size=30))
def test_whatever_heads_say_commands_are_finite_inside_and_slow_enough(
    wanted: np.ndarray, ages: list[float | None]
) -> None:
    bench = Bench(safety=SafetyLimits(ramp_s=0.1))
    limits = bench.robot.joints
    previous = bench.measured.astype(np.float64)
    for row, age in zip(wanted, ages, strict=True):
        command = bench.tick(row, features_age_ms=age, base=(row[0], row[1], row[2]))
        assert np.isfinite(command.position).all()
        assert np.isfinite(command.base_velocity).all()
        assert (np.abs(command.base_velocity) <= np.float32([1.5, 0.5, 1.0])).all()
        for index, joint in enumerate(limits):
            assert joint.lower + 0.02 - 1e-5 <= command.position[index] <= joint.upper - 0.02 + 1e-5
            step = abs(float(command.position[index]) - previous[index])
            assert step <= joint.velocity / 50.0 + 1e-5
        previous = command.position.astype(np.float64)


def test_a_jump_becomes_steps_at_each_joints_velocity() -> None:
    bench = Bench()
    for _ in range(60):
        before = bench.tick(0.0).position.copy()
    limit = np.float32([2, 3, 4, 5]) / 50
    for direction in (1, -1):
        wanted = np.float32([0.9, -0.9, 0.9, -0.9]) * direction
        for _ in range(5):
            after = bench.tick(wanted).position.copy()
            assert after - before == pytest.approx(limit * np.sign(wanted), abs=1e-6)
            before = after


def test_old_features_hold_the_last_command_and_stop_the_base() -> None:
    bench = Bench()
    for _ in range(80):
        moving = bench.tick(0.3, base=(1, 0.2, 0.5))
    before = moving.position.copy()
    assert moving.base_velocity[0] == 1
    for _ in range(20):
        held = bench.tick(-0.9, features_age_ms=1001)
    assert held.rung is Rung.HOLD
    assert bench.filter.cause is Cause.FEATURES_OLD
    assert np.array_equal(held.position, before)
    assert not held.base_velocity.any()


def test_features_at_the_limit_still_run_and_beyond_it_hold() -> None:
    bench = Bench()
    assert bench.tick(0.0, features_age_ms=400).rung is Rung.RUN
    assert bench.tick(0.0, features_age_ms=400.001).rung is Rung.SCALE
    assert bench.tick(0.0, features_age_ms=1000).rung is Rung.SCALE
    assert bench.tick(0.0, features_age_ms=1000.001).rung is Rung.HOLD


def test_a_hold_ends_with_its_cause_through_a_ramp() -> None:
    bench = Bench()
    for _ in range(80):
        bench.tick(0.3)
    bench.tick(0.3, features_age_ms=2000)
    back = bench.tick(-0.5)
    assert back.rung is Rung.RUN
    assert np.abs(back.position - 0.3).max() < 1e-4


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"features_age_ms": None}, Cause.NO_FEATURES),
        ({"features_age_ms": 1200}, Cause.FEATURES_OLD),
        ({"joint_age_ms": 61}, Cause.JOINT_SILENT),
        ({"wanted": np.nan}, Cause.NOT_FINITE),
        ({"wanted": np.inf}, Cause.NOT_FINITE),
        ({"base": (np.nan, 0, 0)}, Cause.NOT_FINITE),
    ],
)
def test_each_cause_holds(change: dict[str, object], cause: Cause) -> None:
    bench = Bench()
    bench.tick(0.2)
    command = bench.tick(**({"wanted": 0.2} | change))  # type: ignore[arg-type]
    assert command.rung is Rung.HOLD
    assert bench.filter.cause is cause


def test_one_silent_joint_among_answering_ones_holds() -> None:
    bench = Bench()
    bench.tick(0.0)
    received = np.full(N, bench.now_ns, dtype=np.int64)
    received[2] = bench.now_ns - 100_000_000
    zeros = np.zeros(N, dtype=np.float32)
    features = Features(zeros, bench.now_ns, bench.now_ns, 1, 1)
    setpoint = Setpoint(zeros, np.zeros(3, np.float32), bench.now_ns, bench.now_ns)
    state = JointState(zeros, zeros, zeros, received)
    assert bench.filter.filter(setpoint, state, features, Health(), bench.now_ns).rung is Rung.HOLD


def test_joints_that_no_head_drives_stay_where_they_were_found() -> None:
    bench = Bench(driven=[0, 2])
    for _ in range(120):
        command = bench.tick(0.9)
    assert command.position[[0, 2]] == pytest.approx([0.9, 0.9], abs=1e-6)
    assert command.position[[1, 3]] == pytest.approx([-0.5, 0.25], abs=1e-6)


def test_a_start_after_a_park_gives_the_joints_back_to_the_heads() -> None:
    bench = Bench(driven=[0, 2])
    bench.filter.park()
    bench.filter.start(bench.measured, bench.now_ns)
    for _ in range(120):
        command = bench.tick(0.9)
    assert command.position == pytest.approx([0.9, -0.5, 0.9, 0.25], abs=1e-6)


def test_clipping_is_counted_by_joint() -> None:
    bench = Bench()
    bench.tick(np.array([5.0, 0.0, -9.0, 0.0], dtype=np.float32))
    assert bench.filter.clipped == 2
    bench.tick(0.0)
    assert bench.filter.clipped == 0


def test_a_joint_found_outside_its_limits_is_named_and_nothing_starts() -> None:
    bench = Bench()
    outside = np.array([0.0, -2.2, 0.0, 0.0], dtype=np.float32)
    with pytest.raises(ConfigWrong, match="'j1' stands outside"):
        bench.filter.start(outside, START_NS)
    with pytest.raises(ConfigWrong, match="not a number"):
        bench.filter.start(np.array([0.0, np.nan, 0.0, 0.0], dtype=np.float32), START_NS)


def test_a_joints_velocity_trips_as_float32_has_it() -> None:
    at = np.float32(0.1) * np.float32(1.5)
    for measured, rung in ((at, Rung.RUN), (np.nextafter(at, np.float32(1)), Rung.DAMP)):
        config = robot(SafetyLimits(velocity_trip_ticks=1))
        joints = [msgspec.structs.replace(joint, velocity=0.1) for joint in config.joints]
        bench = Bench(config=msgspec.structs.replace(config, joints=joints))
        assert bench.tick(bench.measured, velocity=measured).rung is rung
