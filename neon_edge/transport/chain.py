"""What the robot needs of the motors on one bus, and what both families count and convert."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from neon_edge.config import Joint
from neon_edge.types import Float32, Int64, JointCommand, JointState, UInt8

Float64 = npt.NDArray[np.float64]


@dataclass(slots=True)
class JointCounters:
    """What has been exchanged with each joint, (joints,), since the robot was opened."""

    sent: Int64
    """Joint commands on the wire, the holds of `enable` included."""
    received: Int64
    """States received in the tick."""
    missing: Int64
    """Requests that were not answered by the next tick's."""
    faults: UInt8
    """The family's own code for what is wrong with the motor now; 0 for nothing."""


def joint_counters(joints: int) -> JointCounters:
    """All zero."""
    return JointCounters(
        np.zeros(joints, np.int64),
        np.zeros(joints, np.int64),
        np.zeros(joints, np.int64),
        np.zeros(joints, np.uint8),
    )


class Chain(Protocol):
    """The motors of one bus. `read` and `write` are for the tick; the rest may wait for replies."""

    def set_up(self) -> None:
        """Find, identify and check every motor, and arm its watchdog.

        Raises `DeviceMissing` for a silent motor, `ConfigWrong` for one unlike the robot file.
        """

    def measure(self) -> Float64:
        """Joint positions (n,) in rad, asked for now."""

    def prepare(self) -> None:
        """Whatever must be done before `enable` and takes long."""

    def enable(self) -> None:
        """Torque on, holding the pose measured just before. Raises `DeviceMissing`.

        Quick: the watchdogs of the chains enabled before this one are running.
        """

    def disable(self) -> None:
        """The declared stop: torque off, read back where the bus still answers."""

    def read(self, state: JointState) -> None:
        """Put the answers that are in into `state`."""

    def write(self, command: JointCommand) -> int:
        """Send every motor its command and ask for its state. Gives joint commands sent."""


class Placed(NamedTuple):
    """A joint and its place in the robot file's order."""

    place: int
    joint: Joint


class Axes:
    """Where a chain's joints stand in the robot's arrays, and how their motors are mounted.

    motor position = sign · joint position + offset
    """

    def __init__(self, placed: Sequence[Placed]) -> None:
        self.index: npt.NDArray[np.intp] = np.array([p.place for p in placed], np.intp)
        self.sign: Float64 = np.array([p.joint.sign for p in placed], np.float64)
        self.offset: Float64 = np.array([p.joint.offset for p in placed], np.float64)
        self.signs = [float(p.joint.sign) for p in placed]
        self.offsets = [float(p.joint.offset) for p in placed]
        self.places = [p.place for p in placed]

    def motor_positions(self, joint_positions: Float32) -> Float64:
        """Of the robot's (joints,) array, this chain's motors' positions (n,)."""
        return self.sign * joint_positions[self.index] + self.offset

    def joint_positions(self, motor_positions: Float64) -> Float64:
        """Motor positions (n,) as joint positions (n,)."""
        return self.sign * (motor_positions - self.offset)

    def store(
        self, state: JointState, place: int, at_motor: tuple[float, float, float], now_ns: int
    ) -> None:
        """Put motor `place`'s position, velocity and torque into `state`, as its joint's."""
        position, velocity, torque = at_motor
        joint, sign = self.places[place], self.signs[place]
        state.position[joint] = sign * (position - self.offsets[place])
        state.velocity[joint] = sign * velocity
        state.torque[joint] = sign * torque
        state.received_ns[joint] = now_ns
