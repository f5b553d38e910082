"""A live sensor of the heads that falls silent holds the robot, to the nanosecond, by its place."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from neon_edge.config import SafetyLimits
from neon_edge.config.sensors import FixedSensor, UnixSensor
from neon_edge.safety.watch import RUNNING, Cause, Judgement, Watch
from neon_edge.types import Health, Rung
from tests.safety.bench import Bench, N, robot
from tests.safety.test_park import parked
from tests.safety.test_watch import MS, NOW_NS, judge

AFTER_MS = (200.0, 40.0, 200.0)


def watch() -> Watch:
    made = Watch(SafetyLimits(), np.ones(N - 1, np.float32), AFTER_MS)
    made.start(NOW_NS)
    return made


def health(*ages_ns: int, **changes: float) -> Health:
    heard_ns = NOW_NS - np.array(ages_ns, np.int64)
    return Health(sensors_ns=heard_ns, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ages_ns", "joint"),
    [
        ((200 * MS, 40 * MS, 200 * MS), -1),
        ((200 * MS + 1, 0, 0), 0),
        ((0, 40 * MS + 1, 0), 1),
        ((0, 0, 200 * MS + 1), 2),
        ((0, 41 * MS, 201 * MS), 1),
        ((0, 0, NOW_NS), 2),  # never heard
    ],
)
def test_each_has_its_own_threshold_and_the_first_is_named(
    ages_ns: tuple[int, int, int], joint: int
) -> None:
    judgement = judge(watch(), health=health(*ages_ns))
    if joint == -1:
        assert judgement == RUNNING
        return
    assert judgement == Judgement(Rung.HOLD, Cause.SENSOR_SILENT, 1.0, joint)
    assert (type(judgement.rung), type(judgement.cause)) == (Rung, Cause)


def test_what_is_dated_ahead_does_not_grow_old_and_holds() -> None:
    for ahead_ns, expected in ((60 * MS, Cause.NONE), (60 * MS + 1, Cause.STAMP_AHEAD)):
        judgement = judge(watch(), health=health(0, 0, -ahead_ns))
        assert (judgement.cause, judgement.joint) == (expected, -1)


def test_a_graver_cause_comes_first_and_of_equals_the_one_higher_in_the_table() -> None:
    silent = health(300 * MS, 0, 0)
    silent.stop_pressed = True
    assert judge(watch(), health=silent).cause is Cause.STOP_PRESSED
    before = health(300 * MS, 0, 0, imu_ns=NOW_NS - 101 * MS)
    assert judge(watch(), health=before).cause is Cause.IMU_SILENT
    behind = health(300 * MS, 0, 0, bus_missing=0.3)
    assert judge(watch(), health=behind).cause is Cause.SENSOR_SILENT
    milder = health(300 * MS, 0, 0, bus_missing=0.1)
    assert judge(watch(), health=milder).cause is Cause.SENSOR_SILENT


def test_who_goes_without_heads_goes_without_their_sensors_until_the_next_start() -> None:
    seen = watch()
    seen.forgo_features()
    assert judge(seen, health=health(0, 300 * MS, 0)) == RUNNING
    seen.start(NOW_NS)
    assert judge(seen, health=health(0, 300 * MS, 0)).joint == 1


@pytest.mark.parametrize("known", [0, 2])
def test_health_that_knows_of_fewer_sensors_is_our_bug_and_not_waved_on(known: int) -> None:
    with pytest.raises(ValueError):
        judge(watch(), health=health(*[0] * known))
    with pytest.raises(ValueError):
        judge(Watch(SafetyLimits(), np.ones(N - 1, np.float32), (40.0,)), health=Health())


def heard(bench: Bench, age_ms: float, after_ms: float = 20) -> Health:
    at_ns = bench.now_ns + round((after_ms - age_ms) * 1e6)
    return Health(sensors_ns=np.array([at_ns], np.int64))


def test_thresholds_are_the_robot_file_s_live_sensors_and_the_ladder_comes_back() -> None:
    sensors = [
        FixedSensor(name="gps", value=[0.0]),
        UnixSensor(name="force", shape=[6], path="force.sock", stale_after_ms=80),
    ]
    bench = Bench(config=msgspec.structs.replace(robot(), sensors=sensors))
    assert bench.tick(0.1, health=heard(bench, 80)).rung is Rung.RUN
    assert bench.tick(0.1, health=heard(bench, 81)).rung is Rung.HOLD
    assert (bench.filter.cause, bench.filter.now.joint) == (Cause.SENSOR_SILENT, 0)
    assert bench.tick(0.1, health=heard(bench, 5)).rung is Rung.RUN
    bench.filter.park()
    assert parked(bench, 0.1, heard(bench, 500)).rung is Rung.RUN
