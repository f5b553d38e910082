"""Damiao motors in the tick: one MIT frame a motor out, one feedback frame a motor back.

Rungs: RUN, SCALE and HOLD send the command as it is; DAMP sends kp 0, no torque and no velocity,
so that kd alone slows the joint; OFF sends the disable frame, which takes the torque off.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neon_edge.clock import Clock
from neon_edge.config import DamiaoMotor
from neon_edge.errors import ConfigWrong, DeviceMissing
from neon_edge.transport.bus import Bus
from neon_edge.transport.chain import Axes, Float64, JointCounters, Placed
from neon_edge.transport.damiao_setup import DamiaoSetup, Mounted
from neon_edge.transport.protocol import damiao
from neon_edge.transport.protocol.damiao import Condition, Feedback
from neon_edge.transport.protocol.damiao_batch import CommandBatch
from neon_edge.types import BusFrame, JointCommand, JointState, Rung

STOP_TRIES = 3


class DamiaoChain:
    """The Damiao motors of one CAN bus."""

    def __init__(
        self, bus: Bus, placed: Sequence[Placed], counters: JointCounters, clock: Clock
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._counters = counters
        self._motors = [_mounted(p, bus.name) for p in placed]
        self._setup = DamiaoSetup(bus, self._motors, clock)
        self._axes = Axes(placed)
        self._ids = [mounted.motor.id for mounted in self._motors]
        self._place = {m.motor.feedback_id: k for k, m in enumerate(self._motors)}
        self._ranges = [mounted.ranges for mounted in self._motors]
        self._batch = CommandBatch(self._ranges)
        self._rows = np.zeros((5, len(placed)))
        self._measured = np.zeros(len(placed))
        self._awaited = np.zeros(len(placed), np.bool_)
        self._refresh = [BusFrame(damiao.REGISTER_ID, damiao.refresh(i)) for i in self._ids]
        self._disable = [BusFrame(i, damiao.DISABLE) for i in self._ids]
        self._enabled = False

    def set_up(self) -> None:
        """Find every motor, compare its ranges with the robot file, arm its watchdog."""
        for mounted in self._motors:
            _check_fits(mounted)
        self._setup.identify()
        self._setup.arm_watchdogs()

    def measure(self) -> Float64:
        """Joint positions (n,) in rad."""
        self._measured[:] = [feedback.position for feedback in self._setup.feedback()]
        return self._axes.joint_positions(self._measured)

    def prepare(self) -> None:
        """Clear latched errors, a tripped watchdog's among them."""
        before = self._setup.feedback()
        if any(f.condition not in (Condition.DISABLED, Condition.ENABLED) for f in before):
            self._setup.exchange([BusFrame(i, damiao.CLEAR_ERROR) for i in self._ids])

    def enable(self) -> None:
        """Switch on, and hold the pose just measured."""
        self.measure()
        answers = self._setup.exchange([BusFrame(i, damiao.ENABLE) for i in self._ids])
        for mounted, feedback in zip(self._motors, answers, strict=True):
            if feedback.condition != Condition.ENABLED:
                raise _refuses(mounted, feedback)
        # Until its first command a motor is limp; the gains are the robot file's.
        rows = np.zeros((5, len(self._ids)))
        rows[0] = self._measured
        rows[2] = [mounted.joint.kp for mounted in self._motors]
        rows[3] = [mounted.joint.kd for mounted in self._motors]
        self._setup.exchange(self._command_frames(rows))
        self._counters.sent[self._axes.index] += 1
        self._counters.faults[self._axes.index] = 0
        self._awaited[:] = False
        self._enabled = True

    def disable(self) -> None:
        """Torque off, acknowledged by every motor."""
        self._enabled = False
        self._awaited[:] = False
        refusing: list[DeviceMissing] = []
        for _ in range(STOP_TRIES):
            # An answer to the last tick may still be on its way, and it tells of a motor enabled.
            answers = self._setup.exchange(self._disable)
            refusing = [
                _refuses(mounted, feedback)
                for mounted, feedback in zip(self._motors, answers, strict=True)
                if feedback.condition == Condition.ENABLED
            ]
            if not refusing:
                return
        raise refusing[0]

    def read(self, state: JointState) -> None:
        """Take in the feedback that has arrived."""
        now_ns = self._clock.now_ns()
        for frame in self._bus.receive_ready():
            place = self._place.get(frame.arbitration_id)
            if place is None or len(frame.payload) != damiao.FRAME_BYTES:
                continue
            feedback = damiao.decode_feedback(self._ranges[place], frame.payload)
            self._axes.store(state, place, feedback[2:5], now_ns)
            self._measured[place] = feedback.position
            self._awaited[place] = False
            joint = self._axes.places[place]
            self._counters.received[joint] += 1
            tripped = self._enabled and feedback.condition != Condition.ENABLED
            self._counters.faults[joint] = (feedback.condition or 0xFF) if tripped else 0

    def write(self, command: JointCommand) -> int:
        """One frame a motor. Motors that are off are only asked for their state."""
        self._counters.missing[self._axes.index] += self._awaited
        self._awaited[:] = True
        if command.rung >= Rung.OFF:
            self._enabled = False
            self._bus.send(self._disable)
            return 0
        if not self._enabled:
            self._bus.send(self._refresh)
            return 0
        self._fill(command)
        sent = self._bus.send(self._command_frames(self._rows))
        self._counters.sent[self._axes.index[:sent]] += 1
        return sent

    def _fill(self, command: JointCommand) -> None:
        rows, axes = self._rows, self._axes
        rows[3] = command.kd[axes.index]
        if command.rung >= Rung.DAMP:
            rows[0] = self._measured
            rows[1] = rows[2] = rows[4] = 0.0
            return
        rows[0] = axes.motor_positions(command.position)
        rows[1] = axes.sign * command.velocity[axes.index]
        rows[2] = command.kp[axes.index]
        rows[4] = axes.sign * command.torque[axes.index]

    def _command_frames(self, rows: Float64) -> list[BusFrame]:
        payloads = self._batch.encode(rows)
        return [BusFrame(i, payload) for i, payload in zip(self._ids, payloads, strict=True)]


def _mounted(placed: Placed, bus: str) -> Mounted:
    motor = placed.joint.motor
    if not isinstance(motor, DamiaoMotor):
        raise ConfigWrong(
            f"joint {placed.joint.name!r} is on a bus that cannot carry its motor",
            f"a {motor.__struct_config__.tag} motor on the CAN bus {bus!r}",
            "Damiao motors are on CAN, Dynamixel servos on serial lines",
        )
    return Mounted(placed.joint, motor)


def _check_fits(mounted: Mounted) -> None:
    """What safety may let through must fit a frame: an encoder that raises is no place to learn."""
    joint, ranges = mounted.joint, mounted.ranges
    reach = max(abs(joint.sign * end + joint.offset) for end in (joint.lower, joint.upper))
    for what, needed, maximum in (
        ("travel (rad)", reach, ranges.position),
        ("velocity (rad/s)", joint.velocity, ranges.velocity),
        ("effort (N·m)", joint.effort, ranges.torque),
        ("kp (N·m/rad)", joint.kp, damiao.KP_MAX),
        ("kd (N·m·s/rad)", joint.kd, damiao.KD_MAX),
    ):
        if needed > maximum:
            raise ConfigWrong(
                f"joint {joint.name!r}: {what} does not fit its motor's frames",
                f"joint {needed:g}, motor {maximum:g}",
                "lower the joint's, or give the motor the range its registers have",
            )


def _refuses(mounted: Mounted, feedback: Feedback) -> DeviceMissing:
    known = {int(condition): condition.name.lower() for condition in Condition}
    return DeviceMissing(
        f"joint {mounted.joint.name!r} does not obey",
        f"motor {mounted.motor.id} reports {known.get(feedback.condition, 'an unknown condition')} "
        f"({feedback.condition:#x})",
        "remove the cause, then switch the motor's power off and on",
    )
