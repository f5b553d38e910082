"""All that a tick decided from and what it decided, a row a tick: what replay needs, bit for bit.

Written by the control process after the commands are on the wire, and only when a run is recorded;
the backbone process writes the pooled features beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path

import numpy as np

from neon_edge.config import RobotConfig
from neon_edge.telemetry.mapped import ArrayRing, Fields, row_dtype
from neon_edge.transport.sensors import Readings
from neon_edge.types import Features, Float32, Health, JointCommand, JointState, Setpoint

CAPACITY = 2048
"""Rows: 41 s at 50 Hz, 2 s at 1 kHz."""
MOST_BYTES = 16 << 20
"""Rows of a robot whose sensors say much are fewer."""
LEAST_CAPACITY = 64
POOLED_CAPACITY = 64
POOLED_BYTES = 32 << 20
"""What as many may take; of features with tokens fewer fit, but never less than a quarter."""


class Kind(IntEnum):
    """What a row tells."""

    TICK = 0
    BEGIN = 1
    """A new control process: heads and safety know nothing yet; `position` is the measured pose."""
    ARM = 2
    """Armed where it stood: `position`."""
    DISARM = 3
    UNASKED = 4
    """A tick on which the heads were not asked: the robot is being stopped."""
    PARK = 5
    """A tick on the way to the pose in which the robot is left."""
    SWAP = 6
    """From the next tick on another head runs: that of order `number`."""


TICKS = (Kind.TICK, Kind.UNASKED, Kind.PARK)


_PER_JOINT = (
    "position", "velocity", "torque", "wanted",
    "command_position", "command_velocity", "command_kp", "command_kd", "command_torque",
)  # fmt: skip


def robot_fields(robot: RobotConfig) -> Fields:
    """The fields of `robot`'s rows."""
    return observed_fields(len(robot.joints), [sensor.size for sensor in robot.live_sensors])


def capacity(fields: Fields) -> int:
    """Rows of a ring with `fields`."""
    return max(min(CAPACITY, MOST_BYTES // row_dtype(fields).itemsize), LEAST_CAPACITY)


def observed_fields(joints: int, sensors: Sequence[int] = ()) -> Fields:
    """The fields of a row: for so many joints, and live sensors of so many numbers each.

    Wide ones first: nothing is padded.
    """
    heard = [("sensors_ns", f"i8*{len(sensors)}")] if sensors else []
    sensed = [("sensor_values", f"f4*{sum(sensors)}")] if sensors else []
    return (
        ("number", "i8"),
        ("at_ns", "i8"),
        ("features_ns", "i8"),
        ("sequence", "i8"),
        ("base_ns", "i8"),
        ("imu_ns", "i8"),
        ("faulty_joint", "i8"),
        ("bus_missing", "f8"),
        ("tilt_rad", "f8"),
        ("turn_rad_s", "f8"),
        ("received_ns", f"i8*{joints}"),
        *heard,
        *((name, f"f4*{joints}") for name in _PER_JOINT),
        *sensed,
        ("base", "f4*3"),
        ("wanted_base", "f4*3"),
        ("command_base", "f4*3"),
        ("kind", "u1"),
        ("rung", "u1"),
        ("stop_pressed", "u1"),
        ("has_setpoint", "u1"),
    )


def pooled_fields(width: int, rows: int = 0) -> Fields:
    """The fields of one backbone pass's features, up to `rows` tokens of that width among them."""
    tokens = (("count", "i8"), ("tokens", f"f4*{rows * width}")) if rows else ()
    return (
        ("sequence", "i8"),
        ("captured_ns", "i8"),
        ("published_ns", "i8"),
        ("instruction_id", "u8"),
        ("model_hash", "u8"),
        ("pooled", f"f4*{width}"),
        *tokens,
    )


def pooled_capacity(fields: Fields) -> int:
    """How many of them a ring holds."""
    fit = POOLED_BYTES // row_dtype(fields).itemsize
    return max(POOLED_CAPACITY // 4, min(POOLED_CAPACITY, fit))


class Observer:
    """The control process's end of the ring of observations. A context manager."""

    def __init__(self, path: Path, robot: RobotConfig, readings: Readings) -> None:
        fields = robot_fields(robot)
        self._ring = ArrayRing(path, fields)
        # One view a field, named as its field is: filling them allocates nothing.
        self._at = {name: self._ring.field(name) for name, _ in fields}
        self._readings = readings if robot.live_sensors else None

    def begun(self, measured: Float32, at_ns: int) -> None:
        """A new process measured this pose."""
        self._mark(Kind.BEGIN, measured, at_ns)

    def armed(self, measured: Float32, at_ns: int) -> None:
        """Torque came on at this pose."""
        self._mark(Kind.ARM, measured, at_ns)

    def disarmed(self, measured: Float32, at_ns: int) -> None:
        """It ticks without torque."""
        self._mark(Kind.DISARM, measured, at_ns)

    def swapped(self, number: int, measured: Float32, at_ns: int) -> None:
        """Behind the tick that was recorded last, another head took its place."""
        self._mark(Kind.SWAP, measured, at_ns, number)

    def _mark(self, kind: Kind, measured: Float32, at_ns: int, number: int = -1) -> None:
        at = self._at
        at["kind"][0], at["at_ns"][0], at["number"][0] = kind, at_ns, number
        np.copyto(at["position"], measured)
        self._ring.commit()

    def saw(self, joints: JointState, features: Features | None, health: Health) -> None:
        """What heads and safety decide on. Ahead of the commands: sending may take in answers."""
        at = self._at
        at["sequence"][0] = 0 if features is None else features.sequence
        at["features_ns"][0] = 0 if features is None else features.captured_ns
        at["faulty_joint"][0], at["bus_missing"][0] = health.faulty_joint, health.bus_missing
        at["tilt_rad"][0], at["stop_pressed"][0] = health.tilt_rad, health.stop_pressed
        at["turn_rad_s"][0], at["imu_ns"][0] = health.turn_rad_s, health.imu_ns
        np.copyto(at["received_ns"], joints.received_ns)
        np.copyto(at["position"], joints.position)
        np.copyto(at["velocity"], joints.velocity)
        np.copyto(at["torque"], joints.torque)
        at["base_ns"][0] = joints.base_received_ns
        np.copyto(at["base"], joints.base_velocity)
        if self._readings is not None:
            np.copyto(at["sensors_ns"], self._readings.heard_ns)
            np.copyto(at["sensor_values"], self._readings.values)

    def tick(
        self,
        number: int,
        setpoint: Setpoint | None,
        command: JointCommand,
        kind: Kind = Kind.TICK,
    ) -> None:
        """The tick that `saw` began, after its commands are sent."""
        at = self._at
        at["kind"][0], at["number"][0], at["at_ns"][0] = kind, number, command.at_ns
        at["rung"][0], at["has_setpoint"][0] = command.rung, setpoint is not None
        if setpoint is not None:
            np.copyto(at["wanted"], setpoint.position)
            np.copyto(at["wanted_base"], setpoint.base_velocity)
        np.copyto(at["command_position"], command.position)
        np.copyto(at["command_velocity"], command.velocity)
        np.copyto(at["command_kp"], command.kp)
        np.copyto(at["command_kd"], command.kd)
        np.copyto(at["command_torque"], command.torque)
        np.copyto(at["command_base"], command.base_velocity)
        self._ring.commit()

    def close(self) -> None:
        """Give up writing; the rows stay."""
        self._at.clear()
        self._ring.close()

    def __enter__(self) -> Observer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class PooledRing(ArrayRing):
    """The backbone process's end of the ring of pooled features, and of their tokens."""

    def __init__(self, path: Path, width: int, rows: int = 0) -> None:
        fields = pooled_fields(width, rows)
        super().__init__(path, fields)
        self._at = {name: self.field(name) for name, _ in fields}

    def add(self, features: Features) -> None:
        """Keep one pass's features, before they can be acted on."""
        at = self._at
        at["sequence"][0], at["captured_ns"][0] = features.sequence, features.captured_ns
        at["published_ns"][0] = features.published_ns
        at["instruction_id"][0], at["model_hash"][0] = features.instruction_id, features.model_hash
        np.copyto(at["pooled"], features.pooled)
        if features.tokens is not None:
            flat = features.tokens.reshape(-1)
            at["count"][0] = len(features.tokens)
            at["tokens"][: flat.size] = flat
            # Of a longer instruction before.
            at["tokens"][flat.size :] = 0
        self.commit()
