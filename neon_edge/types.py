"""The nouns that cross from one stage to the next. SI units; joints in the robot file's order.

CameraFrame ─▶ Features ─▶ Setpoint ─▶ JointCommand ─▶ BusFrame, and JointState back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
UInt8 = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CameraFrame:
    """One picture: `image` is (height, width, 3) RGB, taken at `captured_ns`."""

    image: UInt8
    captured_ns: int
    camera: str


@dataclass(frozen=True, slots=True)
class AudioWindow:
    """Mono samples in [-1, 1], (n,), the last of them taken at `captured_ns`."""

    samples: Float32
    rate_hz: int
    captured_ns: int


@dataclass(frozen=True, slots=True)
class Features:
    """The backbone's pooled vector (width,) for one observation, and what it is the mean of.

    `tokens` (count, width) only from a backbone that gives them out; they belong to the slot's
    reader, and are whole until it reads the features after the next. `captured_ns` is when the
    sensor saw it, so that age is the age of what is acted on and not of the inference. `model_hash`
    names the backbone; `instruction_id` the words it was given.
    """

    pooled: Float32
    captured_ns: int
    published_ns: int
    sequence: int
    model_hash: int
    instruction_id: int = 0
    tokens: Float32 | None = None


@dataclass(slots=True)
class JointState:
    """Proprioception: position (rad), velocity (rad/s), torque (N·m), each (joints,) float32.

    `received_ns` is when each joint last answered, (joints,) int64; 0 for never. `base_velocity`
    (m/s, m/s, rad/s) is what the base last reported, at `base_received_ns`, which is below 0 where
    no base reports. The arrays belong to the transport, which overwrites them at its next `read`.
    """

    position: Float32
    velocity: Float32
    torque: Float32
    received_ns: Int64
    base_velocity: Float32 = field(default_factory=lambda: np.zeros(3, np.float32))
    base_received_ns: int = -1


@dataclass(frozen=True, slots=True)
class Setpoint:
    """What a head wants now: positions (rad, (joints,)) and base velocity (m/s, m/s, rad/s).

    Not yet safe, and so not accepted by any bus.
    """

    position: Float32
    base_velocity: Float32
    features_ns: int
    at_ns: int


class Rung(IntEnum):
    """The staleness ladder, from best to worst. Higher means less motion."""

    RUN = 0
    SCALE = 1
    HOLD = 2
    DAMP = 3
    OFF = 4


@dataclass(slots=True)
class Health:
    """What speaks against moving, beside features and joint state."""

    bus_missing: float = 0.0
    """Share of motor replies missing over the last second, 0 to 1."""
    faulty_joint: int = -1
    """A joint whose motor reports a fault; -1 for none."""
    tilt_rad: float = 0.0
    """How far the base leans."""
    turn_rad_s: float = 0.0
    """How fast the base turns, about whatever axis."""
    imu_ns: int = -1
    """When both were last heard; 0 for never, below 0 where no IMU is there to hear."""
    stop_pressed: bool = False
    """The e-stop input."""
    sensors_ns: Int64 = field(default_factory=lambda: np.zeros(0, np.int64))
    """When each live sensor of the heads was last heard, in the robot file's order; 0 for never."""


@dataclass(frozen=True, slots=True)
class JointCommand:
    """What safety let through; the only thing a bus carries. Only `safety/` makes one.

    Arrays are (joints,) float32: position rad, velocity rad/s, kp N·m/rad, kd N·m·s/rad, torque
    N·m. On rung DAMP kp is 0; on rung OFF motors get no torque.
    """

    position: Float32
    velocity: Float32
    kp: Float32
    kd: Float32
    torque: Float32
    base_velocity: Float32
    rung: Rung
    features_ns: int
    at_ns: int


class BusFrame(NamedTuple):
    """Bytes with an id: a CAN frame, or (id unused) a piece of a serial stream."""

    arbitration_id: int
    payload: bytes
    extended: bool = False
    fd: bool = False
    bit_rate_switch: bool = False
    remote: bool = False
    """A CAN frame that carries nothing and asks for the one with its id."""
