"""ODrive axes for `CanChain`: a goal with feed-forward out; estimates and torques asked for.

The joint's kp and kd become the axis' gains at bring-up: it pulls with
velocity gain · (position gain · error + v_ff - v), so kd is the velocity gain and kp / kd the
position gain; the integrator is off. DAMP is velocity control at 0, which leaves kd; OFF is idle.
Parameters can only be read over USB, so nothing but the watchdog's effect can be checked here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from neon_edge.config import OdriveMotor
from neon_edge.errors import ConfigWrong
from neon_edge.transport.can_chain import UNKNOWN_FAULT
from neon_edge.transport.exchange import CanExchange
from neon_edge.transport.identity import identify_odrives
from neon_edge.transport.protocol import odrive
from neon_edge.transport.protocol.odrive import Command
from neon_edge.types import BusFrame, Float64

GAIN_MAX = 1e4
STATE_TRIES = 10
STATE_NS = 5_000_000
"""An axis changes its state within some control periods of an eighth of a millisecond."""


class OdriveDialect:
    """The ODrive axes of one bus."""

    resumes_from_damp = False
    wakes = False

    def __init__(self, exchange: CanExchange, motors: Sequence[OdriveMotor]) -> None:
        self._exchange = exchange
        self._motors = motors
        self._ids = [motor.id for motor in motors]
        self._gears = [motor.gear for motor in motors]
        self._place = {motor.id: k for k, motor in enumerate(motors)}
        gears = np.array(self._gears)
        gain = np.full(len(motors), GAIN_MAX)
        self.limits = np.stack(
            [
                odrive.POSITION_MAX / gears,
                odrive.VELOCITY_MAX / gears,
                gain,
                gain,
                odrive.TORQUE_MAX * gears,
            ]
        )
        self.measured = [(0.0, 0.0, 0.0)] * len(motors)
        self.faults = [0] * len(motors)
        self.running = [True] * len(motors)
        self.query: Sequence[BusFrame | None] = [None] * len(motors)
        self._torques = [0.0] * len(motors)
        self._questions = [
            odrive.ask(i, command)
            for command in (Command.TORQUES, Command.ESTIMATES)
            for i in self._ids
        ]
        self._idle = [odrive.words(i, Command.SET_STATE, odrive.IDLE) for i in self._ids]

    def set_up(self) -> None:
        """Every node answers; idle; the robot file's gains and limits set."""
        self._heartbeats()
        identify_odrives(self._exchange, self._motors)
        for joint in self._exchange.joints:
            if joint.kp and not joint.kd:
                raise ConfigWrong(
                    f"joint {joint.name!r}: an ODrive needs kd where there is kp",
                    f"kp {joint.kp:g}, kd {joint.kd:g}",
                    "its position loop acts through its velocity loop: give the joint a kd",
                )
        # A watchdog that tripped before keeps the axis from ever closing its loop. Clearing what it
        # left gives no torque: that takes `enable`, and a person.
        self.prepare()

    def _set_gains(self, place: int, kp: float, kd: float) -> None:
        node, gear = self._ids[place], self._gears[place]
        # N·m at the joint a rad/s there is N·m / gear at the rotor a gear · rad/s.
        velocity_gain = kd / gear / gear * math.tau
        self._exchange.bus.send(
            [
                odrive.floats(node, Command.POSITION_GAIN, kp / kd if kd else 0.0),
                odrive.floats(node, Command.VELOCITY_GAINS, velocity_gain, 0.0),
            ]
        )

    def lull(self) -> int:
        """Closed loop with no torque, then say nothing."""
        longest_ms = max(motor.watchdog_ms for motor in self._motors)
        if longest_ms:
            self._mode(odrive.TORQUE_CONTROL)
            limp = [odrive.floats(i, Command.INPUT_TORQUE, 0.0) for i in self._ids]
            self._exchange.bus.send(limp)
            self._state(odrive.CLOSED_LOOP)
        return longest_ms * 1_000_000

    def check_tripped(self) -> None:
        """Every watched axis must be idle by itself, and say why."""
        for place, (error, state) in enumerate(self._heartbeats()):
            watched = self._motors[place].watchdog_ms
            if watched and (state != odrive.IDLE or not error & odrive.WATCHDOG_EXPIRED):
                raise self._exchange.refuses(
                    place,
                    f"state {state}, errors {error:#x} after {watched} ms of silence: "
                    "its watchdog is not enabled (axis0.config.enable_watchdog)",
                )
        self._clear()

    def positions(self) -> list[float]:
        """Asked for now."""
        questions = [odrive.ask(i, Command.ESTIMATES) for i in self._ids]
        return self._exchange.ask(questions, self._position)

    def _position(self, place: int, frame: BusFrame) -> float | None:
        if frame.remote or frame.arbitration_id != self._ids[place] << 5 | Command.ESTIMATES:
            return None
        return self.measured[place][0] if self.hear(frame) == place else None

    def prepare(self) -> None:
        """Idle, errors cleared; the robot file's gains, which nobody can read back."""
        self._clear()
        self.disable()
        for place, joint in enumerate(self._exchange.joints):
            self._set_gains(place, joint.kp, joint.kd)

    def _clear(self) -> None:
        self._exchange.bus.send(self._idle)
        self._exchange.bus.send([odrive.frame(i, Command.CLEAR_ERRORS, b"\0") for i in self._ids])
        self._heartbeats()

    def enable(self, rows: Float64) -> None:
        """The goal first: an axis that closes its loop moves to whatever goal it has."""
        self._mode(odrive.POSITION_CONTROL)
        self._exchange.bus.send(self.commands(rows)[: len(self._ids)])
        self._state(odrive.CLOSED_LOOP)

    def disable(self) -> None:
        """Idle, as every heartbeat must say."""
        self._state(odrive.IDLE)

    def commands(self, rows: Float64) -> list[BusFrame]:
        """A goal a motor, then the questions."""
        goals = [
            odrive.input_position(i, q * gear, v * gear, torque / gear)
            for i, gear, (q, v, _, _, torque) in zip(
                self._ids, self._gears, rows.T.tolist(), strict=True
            )
        ]
        return goals + self._questions

    def damp(self, rows: Float64) -> list[BusFrame]:
        """Velocity control at 0. The input comes first: the mode must not act on an old one."""
        still = [odrive.floats(i, Command.INPUT_VELOCITY, 0.0, 0.0) for i in self._ids]
        return still + self._modes(odrive.VELOCITY_CONTROL) + self._questions

    def ask(self) -> list[BusFrame]:
        """Estimates and torques; no set-point, so the watchdog is not fed."""
        return self._questions

    def off(self) -> list[BusFrame]:
        """Idle, then the questions."""
        return self._idle + self._questions

    def decode(self) -> None:
        """Nothing is left to do: `hear` has decoded."""

    def hear(self, frame: BusFrame) -> int:
        """Estimates make a state whole; torques and heartbeats are kept for it."""
        node, command = frame.arbitration_id >> 5, frame.arbitration_id & 31
        place = self._place.get(node, -1)
        if place < 0 or frame.remote or frame.extended:
            return -1
        try:
            return self._take(place, command, frame.payload)
        except ValueError:
            return -1

    def _take(self, place: int, command: int, payload: bytes) -> int:
        gear = self._gears[place]
        if command == Command.ESTIMATES:
            turns, speed = odrive.decode_floats(payload)
            scale = math.tau / gear
            self.measured[place] = (turns * scale, speed * scale, self._torques[place] * gear)
            return place
        if command == Command.TORQUES:
            self._torques[place] = odrive.decode_floats(payload)[1]
        elif command == Command.HEARTBEAT:
            error, state = odrive.decode_heartbeat(payload)
            self.running[place] = state == odrive.CLOSED_LOOP
            well = not error and self.running[place]
            self.faults[place] = 0 if well else error.bit_length() or UNKNOWN_FAULT
        return -1

    def _modes(self, control: int) -> list[BusFrame]:
        return [odrive.words(i, Command.SET_MODES, control, odrive.PASSTHROUGH) for i in self._ids]

    def _mode(self, control: int) -> None:
        self._exchange.bus.send(self._modes(control))

    def _state(self, wanted: int) -> None:
        requests = [odrive.words(i, Command.SET_STATE, wanted) for i in self._ids]
        self._exchange.bus.send(requests)
        for _ in range(STATE_TRIES):
            found = self._heartbeats()
            other = [k for k, (_, state) in enumerate(found) if state != wanted]
            if not other:
                return
            clock = self._exchange.clock
            clock.sleep_until_ns(clock.now_ns() + STATE_NS)
        error, state = found[other[0]]
        raise self._exchange.refuses(other[0], f"state {state}, errors {error:#x}")

    def _heartbeats(self) -> list[tuple[int, int]]:
        def heartbeat(place: int, frame: BusFrame) -> tuple[int, int] | None:
            if frame.remote or frame.arbitration_id != self._ids[place] << 5 | Command.HEARTBEAT:
                return None
            self.hear(frame)
            try:
                return odrive.decode_heartbeat(frame.payload)
            except ValueError:
                return None

        return self._exchange.ask([odrive.ask(i, Command.HEARTBEAT) for i in self._ids], heartbeat)
