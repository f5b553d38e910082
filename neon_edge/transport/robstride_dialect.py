"""RobStride motors for `CanChain`: found, compared, armed; one frame out, one state back.

DAMP is a command with kp 0, no torque and no velocity, so that kd alone slows the joint; OFF is the
disable frame. A motor does not say which model it is: its ranges cannot be read back, so the torque
limit of the robot file is set and read back, and bounds what a wrong model could do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from neon_edge.config import RobstrideMotor
from neon_edge.transport.can_chain import UNKNOWN_FAULT
from neon_edge.transport.exchange import TRIES, CanExchange
from neon_edge.transport.protocol import robstride
from neon_edge.transport.protocol.robstride import Kind, Parameter, State
from neon_edge.types import BusFrame, Float64

HOST = 0xFD
"""The vendor's tools call themselves so. Replies carry it as their target."""
STOP_TRIES = 3


class RobstrideDialect:
    """The RobStride motors of one bus."""

    resumes_from_damp = True
    wakes = False

    def __init__(self, exchange: CanExchange, motors: Sequence[RobstrideMotor]) -> None:
        self._exchange = exchange
        self._motors = motors
        self._ids = [motor.id for motor in motors]
        self._place = {motor.id: k for k, motor in enumerate(motors)}
        self._ranges = [robstride.MODELS[motor.model] for motor in motors]
        self._batch = robstride.CommandBatch(list(zip(self._ids, self._ranges, strict=True)))
        self.limits = self._batch.high
        self.measured = [(0.0, 0.0, 0.0)] * len(motors)
        self.faults = [0] * len(motors)
        self.running = [True] * len(motors)
        self._disable = [robstride.simple(Kind.DISABLE, HOST, i) for i in self._ids]
        # There is no frame that only asks; to disable what is off changes nothing.
        self.query: Sequence[BusFrame | None] = self._disable

    def set_up(self) -> None:
        """Every motor answers to its id, off, in operation control, its limits and watchdog set."""
        self._exchange.ask([robstride.simple(Kind.GET_ID, HOST, i) for i in self._ids], self._name)
        self.disable()
        self._guard()

    def _guard(self) -> None:
        """What a motor that lost its power has forgotten, written and read back."""
        n = len(self._ids)
        self._write(Parameter.RUN_MODE, [robstride.OPERATION_MODE] * n)
        self._write(Parameter.TORQUE_LIMIT, [joint.effort for joint in self._exchange.joints])
        self._write(
            Parameter.CAN_TIMEOUT,
            [motor.watchdog_ms * robstride.WATCHDOG_PER_MS for motor in self._motors],
        )

    def lull(self) -> int:
        """Enable with no gains and no torque, then say nothing."""
        longest_ms = max(motor.watchdog_ms for motor in self._motors)
        if longest_ms:
            self._states([robstride.simple(Kind.ENABLE, HOST, i) for i in self._ids])
            self._states(self._batch.encode(np.zeros((5, len(self._ids)))), tries=1)
        return longest_ms * 1_000_000

    def check_tripped(self) -> None:
        """Every armed motor must have left operation by itself."""
        for place, state in enumerate(self._states(self._status())):
            watched = self._motors[place].watchdog_ms
            if watched and state.mode == robstride.MODE_RUNNING:
                raise self._exchange.refuses(
                    place, f"running after {watched} ms of silence: its watchdog is dead"
                )
        self._clear()

    def positions(self) -> list[float]:
        """Asked for now, without commanding anything."""
        return [state.position for state in self._states(self._status())]

    def prepare(self) -> None:
        """Off, latched faults cleared; mode, torque limit and watchdog as the robot file says."""
        self._clear()
        self._guard()

    def _clear(self) -> None:
        self._states([robstride.simple(Kind.DISABLE, HOST, i, 1) for i in self._ids])

    def enable(self, rows: Float64) -> None:
        """Switch on and hold: until its first command a motor is limp."""
        answers = self._states([robstride.simple(Kind.ENABLE, HOST, i) for i in self._ids])
        for place, state in enumerate(answers):
            if state.mode != robstride.MODE_RUNNING or state.faults:
                raise self._exchange.refuses(place, _named(state))
        self._states(self.commands(rows), tries=1)

    def disable(self) -> None:
        """Torque off, acknowledged by every motor."""
        for _ in range(STOP_TRIES):
            states = self._states(self._disable)
            on = [k for k, s in enumerate(states) if s.mode == robstride.MODE_RUNNING]
            if not on:
                return
        raise self._exchange.refuses(on[0], _named(states[on[0]]))

    def commands(self, rows: Float64) -> list[BusFrame]:
        """One frame a motor, which it answers with its state."""
        return self._batch.encode(rows)

    def damp(self, rows: Float64) -> list[BusFrame]:
        """Rows whose kp, velocity and torque are 0 already."""
        return self._batch.encode(rows)

    def ask(self) -> list[BusFrame]:
        """There is no frame that only asks; to disable what is off changes nothing."""
        return self._disable

    def off(self) -> list[BusFrame]:
        """A disable frame a motor, which it answers with its state."""
        return self._disable

    def decode(self) -> None:
        """Nothing is left to do: `hear` has decoded."""

    def hear(self, frame: BusFrame) -> int:
        """A state frame is a whole state."""
        where = robstride.split(frame.arbitration_id)
        place = self._place.get(where.field & 0xFF, -1)
        if place < 0 or where.target != HOST:
            return -1
        state = robstride.decode_state(self._ranges[place], frame)
        if state is None:
            return -1
        self._take(place, state)
        return place

    def _take(self, place: int, state: State) -> None:
        self.measured[place] = (state.position, state.velocity, state.torque)
        self.running[place] = running = state.mode == robstride.MODE_RUNNING
        self.faults[place] = state.faults or (0 if running else UNKNOWN_FAULT)

    def _status(self) -> list[BusFrame]:
        """Writing the mode that stands is answered with the state and changes nothing."""
        mode, value = Parameter.RUN_MODE, robstride.OPERATION_MODE
        return [robstride.write_parameter(HOST, i, mode, value) for i in self._ids]

    def _states(self, frames: Sequence[BusFrame], tries: int = TRIES) -> list[State]:
        """One frame a motor, each answered by its state. Commands are sent once."""
        return self._exchange.ask(frames, self._as_state, tries)

    def _as_state(self, place: int, frame: BusFrame) -> State | None:
        state = robstride.decode_state(self._ranges[place], frame)
        if state is None or state.motor != self._ids[place]:
            return None
        self._take(place, state)
        return state

    def _name(self, place: int, frame: BusFrame) -> bytes | None:
        where = robstride.split(frame.arbitration_id)
        if where.kind != Kind.GET_ID or where.field != self._ids[place] or where.target != 0xFE:
            return None
        return frame.payload

    def _write(self, parameter: Parameter, values: Sequence[float]) -> None:
        pairs = zip(self._ids, values, strict=True)
        self._states([robstride.write_parameter(HOST, i, parameter, v) for i, v in pairs])
        found = self._exchange.ask(
            [robstride.read_parameter(HOST, i, parameter) for i in self._ids],
            self._as_parameter(parameter),
        )
        for place, value in enumerate(found):
            what = f"parameter {parameter.name.lower()}"
            self._exchange.compare(place, what, values[place], value)

    def _as_parameter(self, parameter: Parameter) -> Callable[[int, BusFrame], float | None]:
        def value(place: int, frame: BusFrame) -> float | None:
            answer = robstride.decode_parameter(frame)
            if answer is None or answer[:2] != (self._ids[place], parameter):
                return None
            return robstride.unpack_value(parameter, answer[2])

        return value


def _named(state: State) -> str:
    return f"mode {state.mode}, faults {state.faults:06b}"
