"""Damiao motors for `CanChain`: found, compared, armed; one MIT frame out, one feedback back.

DAMP is an MIT command with kp 0, no torque and no velocity, so that kd alone slows the joint; OFF
is the disable frame.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neon_edge.config import DamiaoMotor
from neon_edge.transport.can_chain import UNKNOWN_FAULT
from neon_edge.transport.exchange import TRIES, CanExchange
from neon_edge.transport.protocol import damiao
from neon_edge.transport.protocol.damiao import Condition, Feedback, Ranges, Register
from neon_edge.transport.protocol.damiao_batch import CommandBatch
from neon_edge.types import BusFrame, Float64

STOP_TRIES = 3
_NAMES = {int(condition): condition.name.lower() for condition in Condition}


class DamiaoDialect:
    """The Damiao motors of one bus."""

    resumes_from_damp = True
    wakes = False

    def __init__(self, exchange: CanExchange, motors: Sequence[DamiaoMotor]) -> None:
        self._exchange = exchange
        self.motors = motors
        self._ids = [motor.id for motor in motors]
        self._place = {motor.feedback_id: k for k, motor in enumerate(motors)}
        self._ranges = [Ranges(m.position_max, m.velocity_max, m.torque_max) for m in motors]
        self.batch = CommandBatch(self._ranges)
        self.limits = self.batch.high
        self.measured = [(0.0, 0.0, 0.0)] * len(motors)
        self.faults = [0] * len(motors)
        self.running = [True] * len(motors)
        self._heard: dict[int, bytes] = {}
        self._refresh = [BusFrame(damiao.REGISTER_ID, damiao.refresh(i)) for i in self._ids]
        self.query: Sequence[BusFrame | None] = self._refresh
        self._disable = [BusFrame(i, damiao.DISABLE) for i in self._ids]

    def set_up(self) -> None:
        """Every motor under its ids and off, in its ranges, in MIT mode, its watchdog set."""
        ids = self._read(Register.MOTOR_ID)
        for place, (motor, found) in enumerate(zip(self.motors, ids, strict=True)):
            self._exchange.compare(place, "motor id", motor.id, found)
        # What another host left on would have no watchdog, and would stay on.
        self.disable()
        for register, what, of in (
            (Register.POSITION_MAX, "position range (rad)", 0),
            (Register.VELOCITY_MAX, "velocity range (rad/s)", 1),
            (Register.TORQUE_MAX, "torque range (N·m)", 2),
        ):
            for place, value in enumerate(self._read(register)):
                self._exchange.compare(place, what, self._ranges[place][of], value)
        self._guard()

    def _guard(self) -> None:
        """What a motor that lost its power has forgotten, written and read back."""
        self._write(Register.MODE, [damiao.MIT_MODE] * len(self.motors))
        counts = [motor.watchdog_ms * damiao.WATCHDOG_PER_MS for motor in self.motors]
        self._write(Register.TIMEOUT, counts)

    def lull(self) -> int:
        """Enable with no gains and no torque, then say nothing."""
        longest_ms = max(motor.watchdog_ms for motor in self.motors)
        if longest_ms:
            self._clear()
            self._tell(damiao.ENABLE)
            self._feedback([BusFrame(i, f) for i, f in self._limp()], tries=1)
        return longest_ms * 1_000_000

    def _limp(self) -> list[tuple[int, bytes]]:
        rows = np.zeros((5, len(self._ids)))
        return list(zip(self._ids, self.batch.encode(rows), strict=True))

    def check_tripped(self) -> None:
        """Every armed motor must say that it has lost its host."""
        for place, feedback in enumerate(self._feedback(self._refresh)):
            watched = self.motors[place].watchdog_ms
            if watched and feedback.condition != Condition.LOST_COMMUNICATION:
                raise self._exchange.refuses(
                    place, f"{_named(feedback)} after {watched} ms of silence: its watchdog is dead"
                )
        self.disable()
        self._clear()

    def positions(self) -> list[float]:
        """Asked for now, without commanding anything."""
        return [feedback.position for feedback in self._feedback(self._refresh)]

    def prepare(self) -> None:
        """Off, latched errors cleared; mode and watchdog as the robot file says."""
        self.disable()
        self._clear()
        self._guard()

    def _clear(self) -> None:
        """Latched errors, a tripped watchdog's among them."""
        before = self._feedback(self._refresh)
        if any(f.condition not in (Condition.DISABLED, Condition.ENABLED) for f in before):
            self._tell(damiao.CLEAR_ERROR)

    def enable(self, rows: Float64) -> None:
        """Switch on and hold: until its first command a motor is limp."""
        for place, feedback in enumerate(self._tell(damiao.ENABLE)):
            if feedback.condition != Condition.ENABLED:
                raise self._exchange.refuses(place, _named(feedback))
        self._feedback(self.commands(rows), tries=1)

    def disable(self) -> None:
        """Torque off, acknowledged by every motor."""
        for _ in range(STOP_TRIES):
            # An answer to the last tick may still be on its way, and it tells of a motor enabled.
            answers = self._tell(damiao.DISABLE)
            on = [k for k, f in enumerate(answers) if f.condition == Condition.ENABLED]
            if not on:
                return
        raise self._exchange.refuses(on[0], _named(answers[on[0]]))

    def commands(self, rows: Float64) -> list[BusFrame]:
        """One MIT frame a motor, which it answers with its state."""
        payloads = self.batch.encode(rows)
        return [BusFrame(i, payload) for i, payload in zip(self._ids, payloads, strict=True)]

    def damp(self, rows: Float64) -> list[BusFrame]:
        """Rows whose kp, velocity and torque are 0 already."""
        return self.commands(rows)

    def ask(self) -> list[BusFrame]:
        """A refresh a motor."""
        return self._refresh

    def off(self) -> list[BusFrame]:
        """A disable frame a motor, which it answers with its state."""
        return self._disable

    def hear(self, frame: BusFrame) -> int:
        """A feedback frame is a whole state; it is decoded with all others."""
        place = self._place.get(frame.arbitration_id, -1)
        if place < 0 or len(frame.payload) != damiao.FRAME_BYTES or frame.extended:
            return -1
        self._heard[place] = frame.payload
        return place

    def decode(self) -> None:
        """All feedback of a tick in one go."""
        places = list(self._heard)
        states, conditions = self.batch.decode(list(self._heard.values()), places)
        for place, state, condition in zip(places, states, conditions, strict=True):
            self.measured[place] = state
            well = condition == Condition.ENABLED
            self.running[place] = well
            self.faults[place] = 0 if well else condition or UNKNOWN_FAULT
        self._heard.clear()

    def _tell(self, special: bytes) -> list[Feedback]:
        return self._feedback([BusFrame(i, special) for i in self._ids])

    def _feedback(self, frames: Sequence[BusFrame], tries: int = TRIES) -> list[Feedback]:
        """One frame a motor, each answered by feedback. Commands are sent once."""
        return self._exchange.ask(frames, self._as_feedback, tries)

    def _as_feedback(self, place: int, frame: BusFrame) -> Feedback | None:
        expected = self.motors[place].feedback_id
        if frame.arbitration_id != expected or len(frame.payload) != damiao.FRAME_BYTES:
            return None
        feedback = damiao.decode_feedback(self._ranges[place], frame.payload)
        self.measured[place] = feedback[2:5]
        self.running[place] = feedback.condition == Condition.ENABLED
        return feedback

    def _read(self, register: Register) -> list[float]:
        def value(place: int, frame: BusFrame) -> float | None:
            motor = self.motors[place]
            answer = damiao.decode_register(frame.payload)
            if answer is None or (answer.motor, answer.register) != (motor.id, register):
                return None
            heard = frame.arbitration_id
            self._exchange.compare(place, "feedback id", motor.feedback_id, heard)
            return damiao.unpack_register(register, answer.value)

        questions = [damiao.read_register(i, register) for i in self._ids]
        return self._exchange.ask([BusFrame(damiao.REGISTER_ID, q) for q in questions], value)

    def _write(self, register: Register, values: Sequence[int]) -> None:
        """Set and read back; again where a frame was lost on the way."""
        wrong, found = list(range(len(values))), list[float]()
        for _ in range(TRIES):
            frames = [damiao.write_register(self._ids[k], register, values[k]) for k in wrong]
            self._exchange.bus.send([BusFrame(damiao.REGISTER_ID, frame) for frame in frames])
            self._exchange.settle(len(frames))
            found = self._read(register)
            wrong = [k for k, value in enumerate(found) if value != values[k]]
            if not wrong:
                return
        what = f"register {register.name.lower()}"
        self._exchange.compare(wrong[0], what, values[wrong[0]], found[wrong[0]])


def _named(feedback: Feedback) -> str:
    known = _NAMES.get(feedback.condition, "an unknown condition")
    return f"{known} ({feedback.condition:#x})"
