"""Each judgement by itself: to the nanosecond, to the joint, and of equals the first."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from neon_edge.config import SafetyLimits
from neon_edge.safety.watch import DISARMED, RUNNING, Cause, Judgement, Watch, all_finite
from neon_edge.types import Features, Health, JointState, Rung, Setpoint

N = 3
MS = 1_000_000
NOW_NS = 50_000 * MS
NAN = float("nan")


def judge(
    watch: Watch | None = None,
    *,
    now_ns: int = NOW_NS,
    last_ns: int = 0,
    features_ns: int | None = 0,
    setpoint_ns: int | None = 0,
    silent_ns: tuple[int, int, int] = (0, 0, 0),
    base_ns: int = 0,
    velocity: tuple[float, float, float] = (0, 0, 0),
    position: float = 0,
    base: float = 0,
    health: Health | None = None,
    chunk_ns: int | None = None,
) -> Judgement:
    """One judgement. Times are ages; `last_ns` is that of the tick before, for a new watch.

    `chunk_ns` is the age of what the setpoint was made of, where that is not the newest features.
    """
    if watch is None:
        watch = Watch(SafetyLimits(), np.float32([1, 2, 0.1]))
        watch.start(now_ns - last_ns)
    zeros = np.zeros(N, np.float32)
    received = now_ns - np.array(silent_ns, np.int64)
    joints = JointState(zeros, np.float32(velocity), zeros, received)
    joints.base_received_ns = now_ns - base_ns
    features, setpoint = None, None
    if features_ns is not None:
        features = Features(zeros, now_ns - features_ns, now_ns, 1, 1)
    if setpoint_ns is not None:
        made_of_ns = chunk_ns if chunk_ns is not None else features_ns or 0
        setpoint = Setpoint(
            zeros + np.float32(position), np.float32([0, 0, base]), now_ns - made_of_ns,
            now_ns - setpoint_ns,
        )  # fmt: skip
    return watch.judge(setpoint, joints, features, health or Health(), now_ns)


def test_numbers_of_causes_and_rungs_are_those_in_every_recording() -> None:
    assert [cause.name for cause in Cause] == [
        "NONE", "NO_FEATURES", "FEATURES_OLD", "JOINT_SILENT", "NOT_FINITE", "HEAD_LATE",
        "BUS_DROPPING", "TOO_FAST", "TILTED", "MOTOR_FAULT", "STOP_PRESSED", "HELD_TOO_LONG",
        "DAMPED_TOO_LONG", "DISARMED", "BASE_SILENT", "IMU_SILENT", "TURNING",
        "STAMP_AHEAD", "SENSOR_SILENT",
    ]  # fmt: skip
    assert [int(cause) for cause in Cause] == list(range(19))
    assert [int(rung) for rung in Rung] == list(range(5))
    assert RUNNING == (Rung.RUN, Cause.NONE, 1.0, -1)
    assert DISARMED == (Rung.OFF, Cause.DISARMED, 1.0, -1)


@pytest.mark.parametrize(
    ("age", "limit_ms", "at", "beyond", "cause"),
    [
        ("features_ns", 400, Rung.RUN, Rung.SCALE, Cause.FEATURES_OLD),
        ("features_ns", 1000, Rung.SCALE, Rung.HOLD, Cause.FEATURES_OLD),
        ("setpoint_ns", 60, Rung.RUN, Rung.HOLD, Cause.HEAD_LATE),
        ("last_ns", 60, Rung.RUN, Rung.HOLD, Cause.HEAD_LATE),
        ("silent_ns", 60, Rung.RUN, Rung.HOLD, Cause.JOINT_SILENT),
        ("silent_ns", 200, Rung.HOLD, Rung.DAMP, Cause.JOINT_SILENT),
    ],
)
def test_a_threshold_is_exact_to_the_nanosecond(
    age: str, limit_ms: int, at: Rung, beyond: Rung, cause: Cause
) -> None:
    def aged(by_ns: int) -> Judgement:
        return judge(**{age: (0, by_ns, 0) if age == "silent_ns" else by_ns})  # type: ignore[arg-type]

    assert aged(limit_ms * MS).rung is at
    after = aged(limit_ms * MS + 1)
    assert after.rung is beyond
    assert after.cause is cause
    assert after.joint == (1 if age == "silent_ns" else -1)


# In order of precedence: every change asks for what stands beside it.
CAUSES: list[tuple[dict[str, Any], Rung, Cause, int]] = [
    ({"health": Health(stop_pressed=True)}, Rung.DAMP, Cause.STOP_PRESSED, -1),
    ({"health": Health(faulty_joint=0)}, Rung.DAMP, Cause.MOTOR_FAULT, 0),
    ({"health": Health(tilt_rad=NAN)}, Rung.DAMP, Cause.TILTED, -1),
    ({"health": Health(turn_rad_s=NAN)}, Rung.DAMP, Cause.TURNING, -1),
    ({"silent_ns": (0, 0, 300 * MS)}, Rung.DAMP, Cause.JOINT_SILENT, 2),
    ({"velocity": (0, 9, 0)}, Rung.DAMP, Cause.TOO_FAST, 1),
    ({"health": Health(bus_missing=0.6)}, Rung.DAMP, Cause.BUS_DROPPING, -1),
    ({"silent_ns": (0, 100 * MS, 0)}, Rung.HOLD, Cause.JOINT_SILENT, 1),
    ({"silent_ns": (0, 0, -61 * MS)}, Rung.HOLD, Cause.STAMP_AHEAD, 2),
    ({"base_ns": 201 * MS}, Rung.HOLD, Cause.BASE_SILENT, -1),
    ({"health": Health(imu_ns=NOW_NS - 101 * MS)}, Rung.HOLD, Cause.IMU_SILENT, -1),
    ({"health": Health(bus_missing=0.3)}, Rung.HOLD, Cause.BUS_DROPPING, -1),
    ({"position": NAN}, Rung.HOLD, Cause.NOT_FINITE, -1),
    ({"setpoint_ns": 61 * MS}, Rung.HOLD, Cause.HEAD_LATE, -1),
    ({"features_ns": 1001 * MS}, Rung.HOLD, Cause.FEATURES_OLD, -1),
    ({"health": Health(bus_missing=0.1)}, Rung.SCALE, Cause.BUS_DROPPING, -1),
    ({"features_ns": 401 * MS}, Rung.SCALE, Cause.FEATURES_OLD, -1),
]
LIMITS = SafetyLimits(velocity_trip_ticks=1)


def once(change: dict[str, Any]) -> Judgement:
    watch = Watch(LIMITS, np.float32([1, 2, 0.1]))
    watch.start(NOW_NS)
    return judge(watch, **change)


@pytest.mark.parametrize(("change", "rung", "cause", "joint"), CAUSES)
def test_a_cause_alone(change: dict[str, Any], rung: Rung, cause: Cause, joint: int) -> None:
    judgement = once(change)
    # Rung.DAMP == Cause.JOINT_SILENT == 3, so the types are looked at as well.
    assert type(judgement.rung) is Rung
    assert type(judgement.cause) is Cause
    assert (judgement.rung, judgement.cause, judgement.joint) == (rung, cause, joint)
    assert judgement.scale == 1.0 or rung is Rung.SCALE


PAIRS = [(a, b) for a, b in combinations(CAUSES, 2) if not set(a[0]) & set(b[0])]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_of_two_causes_the_graver_and_of_equals_the_first(
    first: tuple[dict[str, Any], Rung, Cause, int], second: tuple[dict[str, Any], Rung, Cause, int]
) -> None:
    judgement = once(first[0] | second[0])
    assert (judgement.rung, judgement.cause, judgement.joint) == first[1:]


def test_neither_features_nor_setpoint_alone_is_enough() -> None:
    for judgement in (judge(features_ns=None), judge(setpoint_ns=None)):
        assert (judgement.rung, judgement.cause) == (Rung.HOLD, Cause.NO_FEATURES)


def test_scaling_by_age_and_by_replies_missing() -> None:
    assert judge(features_ns=550 * MS).scale == pytest.approx(0.75)
    assert judge(features_ns=1000 * MS).scale == 0.0
    assert judge(health=Health(bus_missing=0.05)).scale == 1.0
    assert judge(health=Health(bus_missing=0.0875)).scale == pytest.approx(0.75)


def test_a_base_velocity_alone_may_be_what_is_not_finite() -> None:
    assert judge(base=NAN).cause is Cause.NOT_FINITE
    assert all_finite(np.float32([1, 2]))
    assert not all_finite(np.float32([1, np.inf]))


def test_velocity_is_compared_as_motors_report_it_in_float32() -> None:
    watch = Watch(LIMITS, np.float32([1, 2, 0.1]))
    watch.start(NOW_NS)
    at = np.float32(0.1) * np.float32(1.5)
    assert judge(watch, velocity=(0, 0, float(at))).rung is Rung.RUN
    above = np.nextafter(at, np.float32(1))
    assert judge(watch, velocity=(0, 0, float(above))).joint == 2


def test_each_joint_has_its_own_count() -> None:
    watch = Watch(SafetyLimits(), np.float32([1, 2, 0.1]))
    watch.start(NOW_NS)
    by_turns = [(9.0, 0.0, 0.0), (0.0, 9.0, 0.0)] * 5
    assert all(judge(watch, velocity=v).rung is Rung.RUN for v in by_turns)
    assert [judge(watch, velocity=(0, 0, -9)).joint for _ in range(4)] == [-1, -1, 2, 2]


@pytest.mark.parametrize(
    ("change", "times"), [({"velocity": (9, 0, 0)}, 3), ({"position": NAN}, 25)]
)
def test_counts_begin_at_nothing_when_made_and_when_started(
    change: dict[str, Any], times: int
) -> None:
    watch = Watch(SafetyLimits(), np.float32([1, 2, 0.1]))
    for _ in range(2):
        rungs = [judge(watch, now_ns=60 * MS, **change).rung for _ in range(times)]
        assert Rung.DAMP not in rungs[:-1]
        assert rungs[-1] is Rung.DAMP
        assert judge(watch, now_ns=60 * MS, **change).rung is Rung.DAMP
        watch.start(0)


def test_a_new_watch_counts_the_time_since_zero() -> None:
    for now_ns, rung in ((60 * MS, Rung.RUN), (60 * MS + 1, Rung.HOLD)):
        assert judge(Watch(LIMITS, np.ones(N, np.float32)), now_ns=now_ns).rung is rung


def test_a_tick_is_late_by_the_time_since_the_last() -> None:
    watch = Watch(LIMITS, np.ones(N, np.float32))
    watch.start(0)
    assert judge(watch, now_ns=50 * MS).rung is Rung.RUN
    assert judge(watch, now_ns=110 * MS).rung is Rung.RUN
    assert judge(watch, now_ns=170 * MS + 1).cause is Cause.HEAD_LATE


def test_no_setpoint_neither_counts_as_finite_nor_as_not() -> None:
    watch = Watch(SafetyLimits(not_finite_damp_ticks=2), np.ones(N, np.float32))
    watch.start(NOW_NS)
    rungs = [
        judge(watch, **change).rung  # type: ignore[arg-type]
        for change in ({"position": NAN}, {"setpoint_ns": None}, {"position": NAN})
    ]
    assert rungs == [Rung.HOLD, Rung.HOLD, Rung.DAMP]


@pytest.mark.parametrize(
    ("told", "rung", "cause"),
    [
        (Health(tilt_rad=1.0), Rung.RUN, Cause.NONE),
        (Health(tilt_rad=float(np.nextafter(1.0, 2.0))), Rung.DAMP, Cause.TILTED),
        (Health(turn_rad_s=6.0), Rung.RUN, Cause.NONE),
        (Health(turn_rad_s=float(np.nextafter(6.0, 7.0))), Rung.DAMP, Cause.TURNING),
        (Health(tilt_rad=1.1, turn_rad_s=6.1), Rung.DAMP, Cause.TILTED),
        (Health(imu_ns=NOW_NS - 50 * MS), Rung.RUN, Cause.NONE),
        (Health(imu_ns=NOW_NS - 100 * MS), Rung.RUN, Cause.NONE),
        (Health(imu_ns=NOW_NS - 100 * MS - 1), Rung.HOLD, Cause.IMU_SILENT),
        (Health(imu_ns=0), Rung.HOLD, Cause.IMU_SILENT),
        (Health(imu_ns=-1), Rung.RUN, Cause.NONE),
    ],
)
def test_how_the_base_leans_turns_and_is_heard(told: Health, rung: Rung, cause: Cause) -> None:
    judgement = judge(health=told)
    assert (judgement.rung, judgement.cause) == (rung, cause)
    assert (type(judgement.rung), type(judgement.cause)) == (Rung, Cause)


@pytest.mark.parametrize(("imu_silent", "rung"), [("hold", Rung.HOLD), ("damp", Rung.DAMP)])
def test_a_silent_imu_asks_for_the_robot_file_s_rung(imu_silent: Any, rung: Rung) -> None:
    limits = SafetyLimits(imu_silent=imu_silent, imu_silent_after_ms=40)
    for age_ns, expected in ((40 * MS, Rung.RUN), (40 * MS + 1, rung)):
        watch = Watch(limits, np.ones(N, np.float32))
        watch.start(NOW_NS)
        assert judge(watch, health=Health(imu_ns=NOW_NS - age_ns)).rung is expected


@pytest.mark.parametrize("ahead", ["features_ns", "setpoint_ns", "base_ns", "silent_ns", "imu"])
@pytest.mark.parametrize("by_ns", [60 * MS, 60 * MS + 1, 100_000 * MS])
def test_what_is_dated_ahead_of_the_loop_s_own_delay_holds(ahead: str, by_ns: int) -> None:
    change: dict[str, Any] = {ahead: -by_ns}
    if ahead == "silent_ns":
        change = {ahead: (-MS, -by_ns, 0)}
    if ahead == "imu":
        change = {"health": Health(imu_ns=NOW_NS + by_ns)}
    judgement = judge(**change)
    if by_ns == 60 * MS:
        assert judgement == RUNNING
        return
    assert (judgement.rung, judgement.cause) == (Rung.HOLD, Cause.STAMP_AHEAD)
    assert (type(judgement.rung), type(judgement.cause)) == (Rung, Cause)
    assert judgement.joint == (1 if ahead == "silent_ns" else -1)


def test_the_loop_s_own_delay_is_the_robot_file_s() -> None:
    for ahead_ns, rung in ((45 * MS, Rung.RUN), (45 * MS + 1, Rung.HOLD)):
        watch = Watch(SafetyLimits(head_hold_after_ms=45), np.ones(N, np.float32))
        watch.start(NOW_NS)
        assert judge(watch, features_ns=-ahead_ns).rung is rung


def test_neither_setpoint_nor_features_need_be_there_to_find_a_stamp_ahead() -> None:
    ahead = {"base_ns": -61 * MS}
    for absent in ("features_ns", "setpoint_ns"):
        assert judge(**ahead, **{absent: None}).cause is Cause.STAMP_AHEAD  # type: ignore[arg-type]


def test_features_dated_ahead_do_not_matter_to_who_goes_without() -> None:
    watch = Watch(LIMITS, np.ones(N, np.float32))
    watch.start(NOW_NS)
    watch.forgo_features()
    assert judge(watch, features_ns=-100 * MS) == RUNNING


@pytest.mark.parametrize(
    ("features_ms", "chunk_ms", "rung"),
    [
        (50, 401, Rung.SCALE), (50, 1001, Rung.HOLD), (401, 50, Rung.SCALE),
        (1001, 50, Rung.HOLD), (50, 400, Rung.RUN),
    ],
)  # fmt: skip
def test_a_chunk_is_as_old_as_what_it_was_made_of(
    features_ms: int, chunk_ms: int, rung: Rung
) -> None:
    assert judge(features_ns=features_ms * MS, chunk_ns=chunk_ms * MS).rung is rung
