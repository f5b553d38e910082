"""What speaks against moving, judged afresh every tick: one cause, and the rung it asks for.

Nothing here remembers more than a count; what latches and what escalates is the ladder's.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from neon_edge.config import SafetyLimits
from neon_edge.errors import ConfigWrong
from neon_edge.types import Features, Float32, Health, JointState, Rung, Setpoint


class Cause(IntEnum):
    """Why the robot is not simply running."""

    NONE = 0
    NO_FEATURES = 1
    FEATURES_OLD = 2
    JOINT_SILENT = 3
    NOT_FINITE = 4
    HEAD_LATE = 5
    BUS_DROPPING = 6
    TOO_FAST = 7
    TILTED = 8
    MOTOR_FAULT = 9
    STOP_PRESSED = 10
    HELD_TOO_LONG = 11
    DAMPED_TOO_LONG = 12
    DISARMED = 13
    BASE_SILENT = 14
    IMU_SILENT = 15
    TURNING = 16
    STAMP_AHEAD = 17
    SENSOR_SILENT = 18


class Judgement(NamedTuple):
    """The gravest rung asked for, why, by how much motion is scaled, and which joint it was.

    Of SENSOR_SILENT `joint` is the sensor's place among the robot file's live ones.
    """

    rung: Rung
    cause: Cause
    scale: float = 1.0
    joint: int = -1


RUNNING = Judgement(Rung.RUN, Cause.NONE)
DISARMED = Judgement(Rung.OFF, Cause.DISARMED)


def all_finite(array: Float32) -> bool:
    """Neither NaN nor infinity anywhere."""
    return bool(np.isfinite(array).all())


def refuse_not_finite(measured: Float32) -> None:
    """Raise `ConfigWrong` where a pose (joints,) is nothing to start from."""
    if not all_finite(measured):
        raise ConfigWrong(
            "a joint's measured position is not a number",
            f"measured {measured.tolist()}",
            "check the motor and its encoder; the robot stays off",
        )


def faded(value: float, full: float, none: float) -> float:
    """1 up to `full`, 0 from `none` on, a straight line between."""
    return min(max((none - value) / (none - full), 0.0), 1.0)


class Watch:
    """Judges one tick's inputs against thresholds; `velocity` (joints,) is what is allowed.

    `sensors_ms` is how long each live sensor may be silent.
    """

    def __init__(
        self, limits: SafetyLimits, velocity: Float32, sensors_ms: Sequence[float] = ()
    ) -> None:
        self._limits = limits
        self._scale_ns = limits.features_scale_after_ms * 1e6
        self._hold_ns = limits.features_hold_after_ms * 1e6
        self._head_ns = limits.head_hold_after_ms * 1e6
        self._joint_hold_ns = limits.joint_hold_after_ms * 1e6
        self._joint_damp_ns = limits.joint_damp_after_ms * 1e6
        self._base_ns = limits.base_hold_after_ms * 1e6
        self._imu_ns = limits.imu_silent_after_ms * 1e6
        self._imu_rung = Rung.DAMP if limits.imu_silent == "damp" else Rung.HOLD
        self._trip = velocity * np.float32(limits.velocity_trip)
        self._fast = np.empty_like(velocity, np.int64)
        self._sensors_ns = np.array(sensors_ms, np.float64) * 1e6
        self._stale = np.empty_like(self._sensors_ns, np.bool_)
        self.start(0)

    def forgo_features(self) -> None:
        """Until the next `start`, what is wanted comes neither from vision nor from sensors."""
        self._sighted = False

    def start(self, now_ns: int) -> None:
        """Forget every count."""
        self._fast[:] = 0
        self._not_finite = 0
        self._last_ns = now_ns
        self._sighted = True

    def judge(
        self,
        setpoint: Setpoint | None,
        joints: JointState,
        features: Features | None,
        health: Health,
        now_ns: int,
    ) -> Judgement:
        """The gravest of all judgements; of equals, the first in the order below."""
        worst = self._inputs(health)
        for judgement in (
            self._joints(joints, now_ns),
            self._ahead(setpoint, joints, features, health, now_ns),
            self._base(joints, now_ns),
            self._imu(health, now_ns),
            self._sensors(health, now_ns),
            self._bus(health),
            self._finite(setpoint),
            self._head(setpoint, now_ns),
            self._features(features, setpoint, now_ns),
        ):
            if judgement.rung > worst.rung:
                worst = judgement
        self._last_ns = now_ns
        return worst

    def stood_still(self, now_ns: int) -> bool:
        """Whether the loop has let `head_hold_after_ms` pass since it last judged, or started."""
        return now_ns - self._last_ns > self._head_ns

    def _inputs(self, health: Health) -> Judgement:
        if health.stop_pressed:
            return Judgement(Rung.DAMP, Cause.STOP_PRESSED)
        if health.faulty_joint >= 0:
            return Judgement(Rung.DAMP, Cause.MOTOR_FAULT, joint=health.faulty_joint)
        # Written so that an angle that is not a number counts as a fall.
        if not abs(health.tilt_rad) <= self._limits.tilt_damp_rad:
            return Judgement(Rung.DAMP, Cause.TILTED)
        if not health.turn_rad_s <= self._limits.turn_damp_rad_s:
            return Judgement(Rung.DAMP, Cause.TURNING)
        return RUNNING

    def _joints(self, joints: JointState, now_ns: int) -> Judgement:
        silent = int(joints.received_ns.argmin())
        silence_ns = now_ns - int(joints.received_ns[silent])
        if silence_ns > self._joint_damp_ns:
            return Judgement(Rung.DAMP, Cause.JOINT_SILENT, joint=silent)
        # Not slow rather than fast, so that a velocity that is not a number counts.
        slow = np.abs(joints.velocity) <= self._trip
        self._fast += 1
        self._fast[slow] = 0
        fastest = int(self._fast.argmax())
        if self._fast[fastest] >= self._limits.velocity_trip_ticks:
            return Judgement(Rung.DAMP, Cause.TOO_FAST, joint=fastest)
        if silence_ns > self._joint_hold_ns:
            return Judgement(Rung.HOLD, Cause.JOINT_SILENT, joint=silent)
        return RUNNING

    def _ahead(
        self,
        setpoint: Setpoint | None,
        joints: JointState,
        features: Features | None,
        health: Health,
        now_ns: int,
    ) -> Judgement:
        # What is dated ahead would not age. Whatever is read after a tick began is dated ahead of
        # it by as long as the tick was kept waiting: that much is the loop's own, and judged there.
        latest_ns = now_ns + self._head_ns
        newest = int(joints.received_ns.argmax())
        if joints.received_ns[newest] > latest_ns:
            return Judgement(Rung.HOLD, Cause.STAMP_AHEAD, joint=newest)
        stamps = [joints.base_received_ns, health.imu_ns, *health.sensors_ns]
        if setpoint is not None:
            stamps.append(setpoint.at_ns)
        if features is not None and self._sighted:
            stamps.append(features.captured_ns)
        return Judgement(Rung.HOLD, Cause.STAMP_AHEAD) if max(stamps) > latest_ns else RUNNING

    def _base(self, joints: JointState, now_ns: int) -> Judgement:
        heard_ns = joints.base_received_ns
        if heard_ns >= 0 and now_ns - heard_ns > self._base_ns:
            return Judgement(Rung.HOLD, Cause.BASE_SILENT)
        return RUNNING

    def _imu(self, health: Health, now_ns: int) -> Judgement:
        if health.imu_ns >= 0 and now_ns - health.imu_ns > self._imu_ns:
            return Judgement(self._imu_rung, Cause.IMU_SILENT)
        return RUNNING

    def _sensors(self, health: Health, now_ns: int) -> Judgement:
        # Into an array of ours: health that knows of fewer sensors raises, and is not waved on.
        np.greater(now_ns - health.sensors_ns, self._sensors_ns, out=self._stale)
        if self._sighted and self._stale.any():
            return Judgement(Rung.HOLD, Cause.SENSOR_SILENT, joint=int(self._stale.argmax()))
        return RUNNING

    def _bus(self, health: Health) -> Judgement:
        limits, missing = self._limits, health.bus_missing
        if missing >= limits.bus_damp_missing:
            return Judgement(Rung.DAMP, Cause.BUS_DROPPING)
        if missing >= limits.bus_hold_missing:
            return Judgement(Rung.HOLD, Cause.BUS_DROPPING)
        if missing >= limits.bus_scale_missing:
            scale = faded(missing, limits.bus_scale_missing, limits.bus_hold_missing)
            return Judgement(Rung.SCALE, Cause.BUS_DROPPING, scale)
        return RUNNING

    def _finite(self, setpoint: Setpoint | None) -> Judgement:
        if setpoint is None:
            return RUNNING
        if all_finite(setpoint.position) and all_finite(setpoint.base_velocity):
            self._not_finite = 0
            return RUNNING
        self._not_finite += 1
        often = self._not_finite >= self._limits.not_finite_damp_ticks
        return Judgement(Rung.DAMP if often else Rung.HOLD, Cause.NOT_FINITE)

    def _head(self, setpoint: Setpoint | None, now_ns: int) -> Judgement:
        # A loop that stood still has not commanded either: both make what follows a jump.
        old = setpoint is not None and now_ns - setpoint.at_ns > self._head_ns
        if old or self.stood_still(now_ns):
            return Judgement(Rung.HOLD, Cause.HEAD_LATE)
        return RUNNING

    def _features(
        self, features: Features | None, setpoint: Setpoint | None, now_ns: int
    ) -> Judgement:
        if setpoint is None:
            return Judgement(Rung.HOLD, Cause.NO_FEATURES)
        if not self._sighted:
            return RUNNING
        if features is None:
            return Judgement(Rung.HOLD, Cause.NO_FEATURES)
        # A chunk outlives the features that it was made of.
        age_ns = now_ns - min(features.captured_ns, setpoint.features_ns)
        if age_ns > self._hold_ns:
            return Judgement(Rung.HOLD, Cause.FEATURES_OLD)
        if age_ns > self._scale_ns:
            scale = faded(age_ns, self._scale_ns, self._hold_ns)
            return Judgement(Rung.SCALE, Cause.FEATURES_OLD, scale)
        return RUNNING
