"""Before `start`, at it, and the ramp away from it."""

from __future__ import annotations

import numpy as np
import pytest

from neon_edge.config import SafetyLimits
from neon_edge.errors import ConfigWrong
from neon_edge.safety.filter import SafetyFilter, smooth
from neon_edge.safety.watch import Cause
from neon_edge.types import Features, Health, JointCommand, JointState, Rung, Setpoint
from tests.safety.bench import START_NS, TICK_NS, Bench, N, robot

ARRAYS = ("position", "velocity", "kp", "kd", "torque", "base_velocity")


def unarmed() -> tuple[SafetyFilter, JointCommand]:
    safety = SafetyFilter(robot(), np.arange(N))
    zeros = np.zeros(N, np.float32)
    joints = JointState(zeros, zeros, zeros, np.full(N, START_NS, np.int64))
    setpoint = Setpoint(zeros + np.float32(0.5), np.ones(3, np.float32), START_NS, START_NS)
    features = Features(zeros, START_NS, START_NS, 1, 1)
    return safety, safety.filter(setpoint, joints, features, Health(), START_NS)


def test_a_filter_that_nobody_armed_gives_no_torque() -> None:
    safety, command = unarmed()
    assert (command.rung, safety.cause, safety.clipped) == (Rung.OFF, Cause.DISARMED, 0)
    assert (command.features_ns, command.at_ns) == (0, START_NS)
    for name in ARRAYS:
        array = getattr(command, name)
        assert array.dtype == np.float32
        assert array.shape == (3 if name == "base_velocity" else N,)
        assert not array.any(), name


def test_a_new_filter_counts_nothing_as_clipped() -> None:
    assert Bench().filter.clipped == 0


def test_a_running_command_carries_the_files_gains_in_float32() -> None:
    command = Bench().tick(0.2)
    assert command.kp.tolist() == [20.0] * N
    assert command.kd.tolist() == [1.0] * N
    assert {getattr(command, name).dtype for name in ARRAYS} == {np.dtype(np.float32)}
    assert type(command.rung) is Rung


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_pose_that_is_not_a_number_never_arms(bad: float) -> None:
    safety, _ = unarmed()
    with pytest.raises(ConfigWrong) as raised:
        safety.start(np.float32([0, bad, 0, 0]), START_NS)
    assert raised.value.wrong == "a joint's measured position is not a number"
    assert raised.value.facts == f"measured [0.0, {bad}, 0.0, 0.0]"
    assert raised.value.fix == "check the motor and its encoder; the robot stays off"
    assert safety.now.rung is Rung.OFF


@pytest.mark.parametrize(("joint", "at"), [(1, -2.2), (3, 4.5)])
def test_the_joint_that_stands_outside_is_named_with_its_limits(joint: int, at: float) -> None:
    safety, _ = unarmed()
    measured = np.zeros(N, np.float32)
    measured[joint] = at
    with pytest.raises(ConfigWrong) as raised:
        safety.start(measured, START_NS)
    bound = joint + 0.98
    assert raised.value.wrong == f"joint 'j{joint}' stands outside its limits"
    assert raised.value.facts == f"measured {at:.4f} rad, allowed {-bound:.4f} to {bound:.4f}"
    assert raised.value.fix.startswith("move it inside by hand")
    assert safety.now.rung is Rung.OFF


@pytest.mark.parametrize("side", [-1, 1])
def test_a_joint_may_stand_outside_by_just_what_the_file_allows(side: int) -> None:
    bench = Bench(safety=SafetyLimits(start_outside_rad=0.0625, position_margin_rad=0))
    bench.filter.start(np.float32([side * 1.0625, 0, 0, 0]), START_NS)
    with pytest.raises(ConfigWrong, match="'j0' stands outside"):
        bench.filter.start(np.float32([side * 1.0626, 0, 0, 0]), START_NS)


def test_the_measured_pose_is_copied() -> None:
    bench = Bench(driven=[])
    measured = bench.measured.copy()
    bench.measured[:] = 0.9
    assert np.array_equal(bench.tick(0.9).position, measured)


def test_the_measured_pose_is_nobodys_to_write() -> None:
    bench = Bench()
    measured = bench.measured.copy()
    for _ in range(60):
        bench.tick(0.9)
    assert np.array_equal(bench.measured, measured)


def test_the_ramp_is_minimum_jerk_for_joints_and_base() -> None:
    bench = Bench(safety=SafetyLimits(ramp_s=2.0))
    start = bench.measured.copy()
    wanted = np.float32([0.3, -0.2, 0.2, 0.1])
    for tick in range(1, 111):
        command = bench.tick(wanted, base=(1.0, -0.4, 0.5))
        blend = smooth(tick * TICK_NS / 2e9)
        assert command.position == pytest.approx(start + blend * (wanted - start), abs=2e-6)
        assert command.base_velocity == pytest.approx([blend, -0.4 * blend, 0.5 * blend], abs=1e-6)


def test_after_the_ramp_a_setpoint_passes_bit_for_bit() -> None:
    bench = Bench()
    rng = np.random.default_rng(1)
    wanted = rng.uniform(-0.4, 0.4, N).astype(np.float32)
    for _ in range(60):
        bench.tick(wanted)
    for _ in range(50):
        wanted += rng.uniform(-0.03, 0.03, N).astype(np.float32)
        assert np.array_equal(bench.tick(wanted).position, wanted)
    for _ in range(30):
        bench.tick(0.01)
    for _ in range(50):
        # About zero, where a difference of two float32 is not exact.
        wanted = rng.uniform(-0.01, 0.01, N).astype(np.float32)
        assert np.array_equal(bench.tick(wanted).position, wanted)


def test_a_ramp_shorter_than_a_nanosecond_is_over_at_the_next_tick() -> None:
    bench = Bench(safety=SafetyLimits(ramp_s=1e-10))
    assert bench.tick(bench.measured + np.float32(0.03)).position[0] == np.float32(0.53)


def test_smooth_is_the_minimum_jerk_polynomial() -> None:
    assert [smooth(x) for x in (-1, -1e-3, 0, 0.25, 0.5, 0.75, 1, 1.001, 2, 1e30)] == [
        0, 0, 0, 0.103515625, 0.5, 0.896484375, 1, 1, 1, 1,
    ]  # fmt: skip
    assert max(smooth(1 - 10.0**-k) for k in np.arange(2, 16, 0.01)) <= 1


def test_a_second_hold_starts_a_second_ramp_from_the_last_command() -> None:
    bench = Bench()
    for _ in range(60):
        bench.tick(0.3)
    for target in (0.1, -0.1):
        held = bench.tick(target, features_age_ms=2000).position.copy()
        for tick in range(60):
            position = bench.tick(target).position
            blend = smooth(tick * TICK_NS / 1e9)
            assert position == pytest.approx(held + blend * (target - held), abs=2e-6)
        assert position == pytest.approx(target, abs=1e-6)


def test_a_hold_stops_the_base_and_counts_nothing_as_clipped() -> None:
    bench = Bench()
    for _ in range(60):
        moving = bench.tick(9.0, base=(1, 0.2, 0.5))
    assert moving.base_velocity.all()
    assert bench.filter.clipped == N
    for _ in range(25):
        held = bench.tick(9.0, base=(1, 0.2, 0.5), features_age_ms=2000)
        assert bench.filter.clipped == 0
    assert not held.base_velocity.any()
