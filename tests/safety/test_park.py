"""On the way to park no features are asked for and every joint follows; all else still stops it."""

from __future__ import annotations

import numpy as np
import pytest

from neon_edge.safety.watch import Cause
from neon_edge.types import Health, JointCommand, JointState, Rung, Setpoint
from tests.safety.bench import SAFETY, Bench, N


def parked(bench: Bench, wanted: float | None, health: Health | None = None) -> JointCommand:
    """A tick on the way: a setpoint for every joint, and no features."""
    bench.now_ns += 20_000_000
    joints = JointState(
        bench.measured, np.zeros(N, np.float32), np.zeros(N, np.float32),
        np.full(N, bench.now_ns - 15_000_000, np.int64),
    )  # fmt: skip
    setpoint = None
    if wanted is not None:
        position = np.full(N, wanted, np.float32)
        setpoint = Setpoint(position, np.zeros(3, np.float32), 0, bench.now_ns)
    return bench.filter.filter(setpoint, joints, None, health or Health(), bench.now_ns)


def test_every_joint_follows_a_park_though_no_head_drives_it() -> None:
    bench = Bench(driven=[0])
    before = parked(bench, 0.3)
    assert before.rung is Rung.HOLD
    bench.filter.park()
    for _ in range(int(50 * (SAFETY.ramp_s + 4))):
        command = parked(bench, 0.3)
    assert command.rung is Rung.RUN
    np.testing.assert_allclose(command.position, 0.3, atol=1e-3)


def test_a_hold_for_features_ends_with_a_park_and_begins_again_with_a_start() -> None:
    bench = Bench()
    assert bench.tick(0.1, features_age_ms=2000).rung is Rung.HOLD
    bench.filter.park()
    assert parked(bench, 0.1).rung is Rung.RUN
    bench.filter.start(bench.measured, bench.now_ns)
    command = parked(bench, 0.1)
    assert (command.rung, bench.filter.cause) == (Rung.HOLD, Cause.NO_FEATURES)


def test_a_park_without_a_setpoint_holds() -> None:
    bench = Bench()
    bench.filter.park()
    command = parked(bench, None)
    assert (command.rung, bench.filter.cause) == (Rung.HOLD, Cause.NO_FEATURES)


@pytest.mark.parametrize(
    ("health", "rung"),
    [
        (Health(stop_pressed=True), Rung.DAMP),
        (Health(faulty_joint=1), Rung.DAMP),
        (Health(tilt_rad=2.0), Rung.DAMP),
        (Health(bus_missing=0.3), Rung.HOLD),
    ],
)
def test_everything_else_still_stops_a_park(health: Health, rung: Rung) -> None:
    bench = Bench()
    bench.filter.park()
    assert parked(bench, 0.1, health).rung is rung


def test_a_park_leads_up_from_neither_damp_nor_off() -> None:
    bench = Bench()
    parked(bench, 0.1, Health(stop_pressed=True))
    bench.filter.park()
    assert parked(bench, 0.1).rung is Rung.DAMP
    bench.filter.disarm()
    bench.filter.park()
    assert parked(bench, 0.1).rung is Rung.OFF


def test_where_it_stands_is_the_last_command() -> None:
    bench = Bench()
    np.testing.assert_array_equal(bench.filter.standing, bench.measured)
    for _ in range(80):
        command = bench.tick(0.2)
    np.testing.assert_array_equal(bench.filter.standing, command.position)
    assert (command.position != bench.measured).any()
