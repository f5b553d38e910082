"""The motors of one CAN bus in the tick, whatever they speak; a dialect makes and reads the frames.

Rungs: RUN, SCALE and HOLD send the command; DAMP and OFF send what the dialect has for them. After
OFF, and after a damp that the motor cannot leave by a command alone, only `enable` brings it back.
So it does a motor that has gone off by itself: from then on it is asked for its state and no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from neon_edge.clock import Clock
from neon_edge.transport.bus import Bus
from neon_edge.transport.chain import Axes, JointCounters, Placed, Rows, check_fits
from neon_edge.types import BusFrame, Float64, JointCommand, JointState, Rung

TRIP_SHARE = 1.6
"""How much longer than its watchdog's time a motor is left alone to see it trip."""
TRIP_SLACK_NS = 20_000_000
UNKNOWN_FAULT = 0xFF
"""Fault: the motor is off, and does not say why."""


class Dialect(Protocol):
    """One family's frames for the n motors of a bus, by place.

    Rows are (5, n): position, velocity, kp, kd, torque, at the motors' output, SI. The first group
    waits for answers; the second is for the tick and only makes or reads frames.
    """

    limits: Float64
    """(5, n): the largest magnitude that fits the motors' frames."""
    measured: list[tuple[float, float, float]]
    """Position, velocity and torque of each motor, as last heard."""
    faults: list[int]
    """0 while a motor is on and well, else the family's code for what it reports."""
    running: list[bool]
    """Whether each motor is on, as last heard."""
    resumes_from_damp: bool
    """Whether a command alone ends a damp."""
    wakes: bool
    """Whether a command alone switches on a motor that has lost its power."""
    query: Sequence[BusFrame | None]
    """What asks one motor alone; None where the tail of `commands` asks all."""

    def set_up(self) -> None:
        """Find every motor, compare it with the robot file, arm its watchdog."""

    def lull(self) -> int:
        """Make the watchdogs run without torque; give the longest of them, ns, 0 for none."""

    def check_tripped(self) -> None:
        """Raise `DeviceMissing` for a watchdog that has not tripped; clear those that have."""

    def positions(self) -> list[float]:
        """Every motor's position, asked for now."""

    def prepare(self) -> None:
        """Clear latched errors."""

    def enable(self, rows: Float64) -> None:
        """Switch on, and hold `rows`, each sent exactly once."""

    def disable(self) -> None:
        """Torque off, acknowledged."""

    def commands(self, rows: Float64) -> list[BusFrame]:
        """The command frames, one a motor and in order, then what asks for the states."""

    def damp(self, rows: Float64) -> list[BusFrame]:
        """What slows the motors down without holding them, one a motor first."""

    def ask(self) -> list[BusFrame]:
        """What asks motors that are off for their states."""

    def off(self) -> list[BusFrame]:
        """Torque off; asks for the states too."""

    def hear(self, frame: BusFrame) -> int:
        """Take a frame in; give the place of the motor whose state is whole with it, or -1."""

    def decode(self) -> None:
        """Bring `measured` and `faults` up to date with what was heard."""


class CanChain:
    """The motors of one CAN bus."""

    turns = None

    def __init__(
        self,
        bus: Bus,
        placed: Sequence[Placed],
        counters: JointCounters,
        clock: Clock,
        dialect: Dialect,
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._counters = counters
        self._dialect = dialect
        self._joints = [p.joint for p in placed]
        self._axes = Axes(placed)
        self._rows = Rows(self._axes, self._joints, dialect.limits)
        self._held = np.zeros(len(placed))
        self._awaited = np.zeros(len(placed), np.bool_)
        self._fresh = [0] * len(placed)
        self._nothing = tuple(self._fresh)
        self._stopped = np.zeros(len(placed), np.bool_)
        self._any_stopped = False
        self._doubtful = np.zeros(len(placed), np.bool_)
        self._any_doubtful = False
        self._state: JointState | None = None
        self._enabled = False

    def set_up(self) -> None:
        """Find every motor, compare it with the robot file, arm its watchdog."""
        for place, joint in enumerate(self._joints):
            check_fits(joint, self._dialect.limits[:, place])
        self._dialect.set_up()

    def lull(self) -> int:
        """Let the watchdogs run without torque; how long until they must have tripped, ns."""
        longest_ns = self._dialect.lull()
        return int(longest_ns * TRIP_SHARE) + TRIP_SLACK_NS if longest_ns else 0

    def check_tripped(self) -> None:
        """Raises `DeviceMissing` for a watchdog that has not tripped."""
        self._dialect.check_tripped()

    def measure(self) -> Float64:
        """Joint positions (n,) in rad."""
        self._held[:] = self._dialect.positions()
        return self._axes.joint_positions(self._held)

    def prepare(self) -> None:
        """Clear latched errors, a tripped watchdog's among them."""
        self._dialect.prepare()

    def enable(self) -> None:
        """Switch on, and hold the pose just measured, with the robot file's gains."""
        self.measure()
        self._dialect.enable(self._rows.hold(self._held))
        self._counters.sent[self._axes.index] += 1
        self._counters.faults[self._axes.index] = 0
        self._forget()
        self._stopped[:] = self._doubtful[:] = False
        self._any_stopped = self._any_doubtful = False
        self._enabled = True

    def disable(self) -> None:
        """Torque off, acknowledged by every motor."""
        self._enabled = False
        self._forget()
        self._dialect.disable()

    def _forget(self) -> None:
        """Nobody owes an answer."""
        self._awaited[:] = False

    def read(self, state: JointState) -> None:
        """Take in the frames that have arrived."""
        self._state = state
        self._hear(state)
        if self._any_doubtful:
            self._doubtful[:] = self._any_doubtful = False
        if self._enabled and self._dialect.wakes and self._awaited.any():
            self._ask_the_silent()

    def _ask_the_silent(self) -> None:
        """A motor that has not answered may be starting again, and our command would wake it.

        So it is asked first, in time for `write`, which commands it only once it has answered.
        """
        np.logical_and(self._awaited, ~self._stopped, out=self._doubtful)
        self._any_doubtful = bool(self._doubtful.any())
        self._counters.missing[self._axes.span] += self._doubtful
        questions = [self._dialect.query[k] for k in np.flatnonzero(self._doubtful).tolist()]
        self._bus.send([frame for frame in questions if frame is not None])

    def _hear(self, state: JointState) -> None:
        now_ns = self._clock.now_ns()
        hear, fresh = self._dialect.hear, self._fresh
        heard = False
        for frame in self._bus.receive_ready():
            place = hear(frame)
            if place >= 0:
                fresh[place] += 1
                heard = True
        if heard:
            self._dialect.decode()
            self._take(state, now_ns)
        if self._enabled and (self._any_stopped or not all(self._dialect.running)):
            self._note(k for k, running in enumerate(self._dialect.running) if not running)

    def _note(self, places: Iterable[int]) -> None:
        """These have gone off by themselves: no goal for them, and a fault, until `enable`."""
        for place in places:
            self._stopped[place] = self._any_stopped = True
        if self._any_stopped:
            off = self._axes.index[self._stopped]
            self._counters.faults[off[self._counters.faults[off] == 0]] = UNKNOWN_FAULT

    def _take(self, state: JointState, now_ns: int) -> None:
        """All motors that were heard at once: a scalar store costs as much as a whole row."""
        counts = np.array(self._fresh)
        places = np.flatnonzero(counts)
        self._axes.store_all(state, places, np.array(self._dialect.measured), now_ns)
        self._awaited[places] = False
        joints = self._axes.index[places]
        self._counters.received[joints] += counts[places]
        faults = np.array(self._dialect.faults, np.uint8)[places]
        self._counters.faults[joints] = faults if self._enabled else 0
        self._fresh[:] = self._nothing

    def write(self, command: JointCommand) -> int:
        """One command a motor. Motors that are off are only asked for their state."""
        self._count_missing()
        if command.rung >= Rung.OFF:
            self._enabled = False
            self._bus.send(self._dialect.off())
            return 0
        if not self._enabled:
            self._bus.send(self._dialect.ask())
            return 0
        if command.rung >= Rung.DAMP:
            rows = self._rows.fill(command, self._positions)
            sent = self._send(self._dialect.damp(rows))
            self._enabled = self._dialect.resumes_from_damp
            return sent
        return self._command(command)

    def _count_missing(self) -> None:
        """Who owes an answer to the last tick; from now on everybody owes one."""
        if self._any_doubtful and self._state is not None:
            self._hear(self._state)
            self._counters.missing[self._axes.span] += self._awaited & ~self._doubtful
            self._doubtful &= self._awaited
        else:
            self._counters.missing[self._axes.span] += self._awaited
        self._awaited[:] = True

    def _command(self, command: JointCommand) -> int:
        rows = self._rows.fill(command, self._positions)
        return self._send(self._dialect.commands(rows))

    def _send(self, frames: Sequence[BusFrame]) -> int:
        """One command a motor, then what asks; motors that are off, or may be, are only asked."""
        n = len(self._joints)
        if not (self._any_stopped or self._any_doubtful):
            sent = min(self._bus.send(frames), n)
            self._counters.sent[self._axes.first(sent)] += 1
            return sent
        told = np.flatnonzero(~(self._stopped | self._doubtful))
        asked = [self._dialect.query[k] for k in np.flatnonzero(self._stopped).tolist()]
        commands = [frames[k] for k in told.tolist()]
        rest = [frame for frame in (*asked, *frames[n:]) if frame is not None]
        sent = min(self._bus.send(commands + rest), len(commands))
        self._counters.sent[self._axes.index[told[:sent]]] += 1
        return sent

    def _positions(self) -> list[float]:
        return [position for position, _, _ in self._dialect.measured]
