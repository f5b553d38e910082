"""What the robot needs of the motors on one bus, and what both families count and convert."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from neon_edge.config import Joint
from neon_edge.errors import ConfigWrong
from neon_edge.types import Float32, Float64, Int64, JointCommand, JointState, Rung, UInt8

if TYPE_CHECKING:
    from neon_edge.transport.turns import TurnLine

Places = npt.NDArray[np.intp]


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
    told: list[str]
    """What each motor said of itself at bring-up: model and firmware, where it can."""


def joint_counters(joints: int) -> JointCounters:
    """All zero."""
    return JointCounters(
        np.zeros(joints, np.int64),
        np.zeros(joints, np.int64),
        np.zeros(joints, np.int64),
        np.zeros(joints, np.uint8),
        [""] * joints,
    )


class Chain(Protocol):
    """The motors of one bus. `read` and `write` are for the tick; the rest may wait for replies."""

    @property
    def turns(self) -> TurnLine[Any] | None:
        """Where its motors answer one by one: what `write` leaves to be asked, turn by turn."""

    def set_up(self) -> None:
        """Find, identify and check every motor, and arm its watchdog.

        Raises `DeviceMissing` for a silent motor, `ConfigWrong` for one unlike the robot file.
        """

    def lull(self) -> int:
        """Make the armed watchdogs run, without torque; give how long to stay silent, ns.

        0 where no watchdog is armed. Nothing may be sent until that time is over.
        """

    def check_tripped(self) -> None:
        """Clear the watchdogs that have tripped. Raises `DeviceMissing` for one that has not."""

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
        self.index: Places = np.array([p.place for p in placed], np.intp)
        first, n = placed[0].place, len(placed)
        together = [p.place for p in placed] == list(range(first, first + n))
        self.span: slice | Places = slice(first, first + n) if together else self.index
        """`index`, as a slice where the joints stand together: a view costs no copy."""
        self.sign: Float64 = np.array([p.joint.sign for p in placed], np.float64)
        self.offset: Float64 = np.array([p.joint.offset for p in placed], np.float64)
        self.signs = [float(p.joint.sign) for p in placed]
        self.offsets = [float(p.joint.offset) for p in placed]
        self.places = [p.place for p in placed]

    def first(self, count: int) -> slice | Places:
        """Where the first so many of the chain's joints stand."""
        if isinstance(self.span, slice):
            return slice(self.span.start, self.span.start + count)
        return self.index[:count]

    def motor_positions(self, joint_positions: Float32) -> Float64:
        """Of the robot's (joints,) array, this chain's motors' positions (n,)."""
        return self.sign * joint_positions[self.span] + self.offset

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

    def store_all(
        self,
        state: JointState,
        places: Places,
        at_motor: Float64,
        now_ns: int,
    ) -> None:
        """Put these motors' rows of (n, 3): position, velocity, torque, into `state`."""
        joints, sign, rows = self.index[places], self.sign[places], at_motor[places]
        state.position[joints] = sign * (rows[:, 0] - self.offset[places])
        state.velocity[joints] = sign * rows[:, 1]
        state.torque[joints] = sign * rows[:, 2]
        state.received_ns[joints] = now_ns


class Rows:
    """Impedance commands of a chain's motors as rows (5, n): position, velocity, kp, kd, torque.

    At the motors' output, SI. `high` is the largest magnitude each may have, (5, n).
    """

    def __init__(self, axes: Axes, joints: Sequence[Joint], limits: Float64) -> None:
        self._axes = axes
        self._joints = joints
        self._high = np.minimum(limits, own_limits(joints))
        self.values: Float64 = np.zeros((5, len(joints)))

    def hold(self, motor_positions: Float64) -> Float64:
        """Stand at `motor_positions` (n,), with the robot file's gains."""
        rows = np.zeros_like(self.values)
        rows[0] = motor_positions
        rows[2] = [joint.kp for joint in self._joints]
        rows[3] = [joint.kd for joint in self._joints]
        return rows

    def fill(self, command: JointCommand, measured: Callable[[], Sequence[float]]) -> Float64:
        """A command's rows; on rung DAMP what slows motors at `measured()` (n,) down.

        Raises `ValueError` for what is not finite or beyond a joint's own velocity, gains or
        effort.
        """
        rows, axes = self.values, self._axes
        rows[3] = command.kd[axes.span]
        if command.rung >= Rung.DAMP:
            rows[0] = measured()
            rows[1] = rows[2] = rows[4] = 0.0
        else:
            rows[0] = axes.motor_positions(command.position)
            rows[1] = axes.sign * command.velocity[axes.span]
            rows[2] = command.kp[axes.span]
            rows[4] = axes.sign * command.torque[axes.span]
        # Comparisons with NaN are false, so this stops NaN and both infinities before any codec.
        if not bool((np.abs(rows) <= self._high).all()):
            raise ValueError(f"command outside its joints' limits or not finite: {rows.tolist()}")
        return rows


def own_limits(joints: Sequence[Joint]) -> Float64:
    """(5, n): the largest magnitude each joint may be sent; positions are safety's business."""
    # Commands are float32, and the robot file's own gain must not fail by its rounding.
    return np.array(
        [
            [np.inf] * len(joints),
            [np.float32(joint.velocity) for joint in joints],
            [np.float32(joint.kp) for joint in joints],
            [np.float32(joint.kd) for joint in joints],
            [np.float32(joint.effort) for joint in joints],
        ]
    )


def check_fits(joint: Joint, limits: Float64) -> None:
    """What safety may let through must fit a frame: an encoder that raises is no place to learn."""
    reach = max(abs(joint.sign * end + joint.offset) for end in (joint.lower, joint.upper))
    needs = (reach, joint.velocity, joint.kp, joint.kd, joint.effort)
    names = ("travel (rad)", "velocity (rad/s)", "kp (N·m/rad)", "kd (N·m·s/rad)", "effort (N·m)")
    for what, needed, maximum in zip(names, needs, limits.tolist(), strict=True):
        if needed > maximum:
            raise ConfigWrong(
                f"joint {joint.name!r}: {what} does not fit its motor's frames",
                f"joint {needed:g}, motor {maximum:g}",
                "lower the joint's, or give the motor the range that it has",
            )
