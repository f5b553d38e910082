"""Unitree GO-M8010-6 motors in the tick: each is told and answers before the next is told.

DAMP is a command with kd alone; OFF is mode 0, in which the motor brakes its rotor and takes no
goal. The motor has no documented watchdog, and does not tell a command that finds it on from one
that switches it on: one that was silent for long is taken to have started again, and stays off.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from neon_edge.clock import Clock
from neon_edge.config import UnitreeMotor
from neon_edge.errors import DeviceMissing
from neon_edge.transport.bus import Bus
from neon_edge.transport.chain import Axes, JointCounters, Placed, Rows, check_fits
from neon_edge.transport.protocol import unitree
from neon_edge.transport.protocol.unitree import Command, Reply, ReplyStream
from neon_edge.transport.turns import TurnLine, line_ns
from neon_edge.types import Float64, JointCommand, JointState, Rung

GONE_NS = 100_000_000
"""Unanswered for so long, a motor may have lost its power."""
GONE = 0xFF
"""Fault: it is off, or must be taken for off."""
_LIMITS = (
    unitree.POSITION_MAX,
    unitree.VELOCITY_MAX,
    unitree.GAIN_MAX,
    unitree.GAIN_MAX,
    unitree.TORQUE_MAX,
)


class UnitreeChain:
    """The GO-M8010-6 motors of one RS-485 line."""

    def __init__(
        self,
        bus: Bus,
        placed: Sequence[Placed],
        motors: Sequence[UnitreeMotor],
        counters: JointCounters,
        clock: Clock,
        baud: int,
        rate_hz: float,
    ) -> None:
        turn_ns = line_ns(unitree.COMMAND_BYTES + unitree.REPLY_BYTES, baud)
        self._line = TurnLine(bus, ReplyStream(), clock, turn_ns)
        self._placed = placed
        self._counters = counters
        self._joints = [p.joint for p in placed]
        self._axes = Axes(placed)
        self._ids = [motor.id for motor in motors]
        self._place = {motor.id: k for k, motor in enumerate(motors)}
        self._limits = np.tile(np.array(_LIMITS)[:, None], len(placed))
        self._rows = Rows(self._axes, self._joints, self._limits)
        self._measured = np.zeros(len(placed))
        self._awaited = np.zeros(len(placed), np.bool_)
        self._locked = [unitree.encode_command(Command(i, unitree.LOCK)) for i in self._ids]
        self._unanswered = np.zeros(len(placed), np.intp)
        self._gone_after = max(2, math.ceil(GONE_NS * rate_hz / 1e9))
        self._stopped = np.zeros(len(placed), np.bool_)
        self._enabled = False

    @property
    def turns(self) -> TurnLine[Reply]:
        """One motor after the other."""
        return self._line

    def set_up(self) -> None:
        """Every motor answers, and does not report an error."""
        for place, joint in enumerate(self._joints):
            check_fits(joint, self._limits[:, place])
        self.disable()

    def lull(self) -> int:
        """There is no watchdog to see trip."""
        return 0

    def check_tripped(self) -> None:
        """There is no watchdog."""

    def measure(self) -> Float64:
        """Joint positions (n,) in rad."""
        for place, reply in enumerate(self._exchange(self._locked)):
            self._measured[place] = reply.position
        return self._axes.joint_positions(self._measured)

    def prepare(self) -> None:
        """Nothing latches."""

    def enable(self) -> None:
        """The first command holds the pose just measured."""
        self.measure()
        held = self._commands(self._rows.hold(self._measured))
        for place, reply in enumerate(self._exchange(held)):
            if reply.mode != unitree.FOC or reply.error:
                raise self._refuses(place, reply)
        self._counters.sent[self._axes.index] += 1
        self._counters.faults[self._axes.index] = 0
        self._awaited[:] = self._stopped[:] = False
        self._unanswered[:] = 0
        self._enabled = True

    def disable(self) -> None:
        """Locked, as every motor must say."""
        self._enabled = False
        self._awaited[:] = False
        for place, reply in enumerate(self._exchange(self._locked)):
            if reply.mode != unitree.LOCK:
                raise self._refuses(place, reply)

    def read(self, state: JointState) -> None:
        """Take in the answers that have arrived."""
        for reply, now_ns in self._line.take():
            place = self._place.get(reply.motor)
            if place is None:
                continue
            at_motor = (reply.position, reply.velocity, reply.torque)
            self._axes.store(state, place, at_motor, now_ns)
            self._measured[place] = reply.position
            self._awaited[place] = False
            self._unanswered[place] = 0
            joint = self._axes.places[place]
            self._counters.received[joint] += 1
            self._stopped[place] |= self._enabled and reply.mode != unitree.FOC
            fault = reply.error or (GONE if self._stopped[place] else 0)
            self._counters.faults[joint] = fault if self._enabled else 0

    def write(self, command: JointCommand) -> int:
        """One command a motor, each after the answer to the one before."""
        self._counters.missing[self._axes.index] += self._awaited
        self._unanswered += self._awaited
        self._awaited[:] = True
        if command.rung >= Rung.OFF:
            self._enabled = False
        if not self._enabled:
            self._line.in_turn(self._locked)
            return 0
        gone = self._unanswered >= self._gone_after
        if gone.any():
            self._stopped |= gone
            self._counters.faults[self._axes.index[gone]] = GONE
        commands = self._commands(self._rows.fill(command, self._measured.tolist))
        for place in np.flatnonzero(self._stopped).tolist():
            commands[place] = self._locked[place]
        self._line.in_turn(commands)
        told = ~self._stopped
        self._counters.sent[self._axes.index[told]] += 1
        return int(told.sum())

    def _commands(self, rows: Float64) -> list[bytes]:
        return [
            unitree.encode_command(Command(i, unitree.FOC, *values))
            for i, values in zip(self._ids, rows.T.tolist(), strict=True)
        ]

    def _exchange(self, commands: Sequence[bytes]) -> list[Reply]:
        return [self._line.ask(c, p) for c, p in zip(commands, self._placed, strict=True)]

    def _refuses(self, place: int, reply: Reply) -> DeviceMissing:
        error = unitree.ERRORS.get(reply.error, str(reply.error))
        return DeviceMissing(
            f"joint {self._joints[place].name!r} does not obey",
            f"motor {self._ids[place]} reports mode {reply.mode}, error {error}",
            "remove the cause, then switch the motor's power off and on",
        )
