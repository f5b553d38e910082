"""An emulated Damiao motor: registers, enable, MIT control, and a watchdog that latches."""

from __future__ import annotations

import math

from neon_edge.config import DamiaoMotor
from neon_edge.sim.dynamics import Drive, Dynamics
from neon_edge.sim.motor import EmulatedMotor
from neon_edge.transport.protocol import damiao
from neon_edge.transport.protocol.damiao import Condition, Feedback, Ranges, Register
from neon_edge.types import BusFrame

TIMEOUT_UNIT_NS = 50_000


class EmulatedDamiao(EmulatedMotor):
    """One motor on a CAN bus; `axis` is its place in the body's dynamics.

    It feeds its watchdog on frames to its own id only, and when the watchdog trips it takes off
    its torque and says LOST_COMMUNICATION until it is cleared and enabled again.
    """

    def __init__(self, motor: DamiaoMotor, dynamics: Dynamics, axis: int) -> None:
        super().__init__(dynamics, axis)
        self._id = motor.id
        self._feedback_id = motor.feedback_id
        self._ranges = Ranges(motor.position_max, motor.velocity_max, motor.torque_max)
        self.registers: dict[int, float] = {
            Register.MASTER_ID: motor.feedback_id,
            Register.MOTOR_ID: motor.id,
            Register.TIMEOUT: 0,
            Register.MODE: damiao.MIT_MODE,
            Register.POSITION_MAX: motor.position_max,
            Register.VELOCITY_MAX: motor.velocity_max,
            Register.TORQUE_MAX: motor.torque_max,
        }
        self.condition = Condition.DISABLED
        self._fed_ns = 0

    def watch(self, now_ns: int) -> None:
        """Trip the watchdog if it is armed and nobody has fed it."""
        timeout_ns = int(self.registers[Register.TIMEOUT]) * TIMEOUT_UNIT_NS
        silent = timeout_ns and now_ns - self._fed_ns > timeout_ns
        if silent and self.condition == Condition.ENABLED:
            self._stop(Condition.LOST_COMMUNICATION)

    def restart(self) -> None:
        """Off, and registers back to what flash holds: the watchdog is off."""
        self.registers[Register.TIMEOUT] = 0
        self._stop(Condition.DISABLED)

    def overheat(self, hot: bool) -> None:
        """Hot windings switch it off and keep it off."""
        self.hot = hot
        if hot:
            self._stop(Condition.ROTOR_HOT)

    def speak(self, now_ns: int) -> list[BusFrame]:
        """It speaks only when spoken to."""
        return []

    def answer(self, frame: BusFrame, now_ns: int) -> list[BusFrame]:
        """What this motor replies to a frame; nothing where it is not meant or makes no sense."""
        self.dynamics.advance(now_ns)
        self.watch(now_ns)
        if frame.extended or frame.remote or len(frame.payload) != damiao.FRAME_BYTES:
            return []
        # It answers in kind: classic to classic, FD to FD.
        return [
            a._replace(fd=frame.fd, bit_rate_switch=frame.fd) for a in self._reply(frame, now_ns)
        ]

    def _reply(self, frame: BusFrame, now_ns: int) -> list[BusFrame]:
        if frame.arbitration_id == damiao.REGISTER_ID:
            return self._answer_register(frame.payload)
        if frame.arbitration_id != self._id:
            return []
        self._fed_ns = now_ns
        if frame.payload in damiao.SPECIALS:
            self._obey(frame.payload)
        else:
            self._command(frame.payload)
        return [self._feedback()]

    def _obey(self, special: bytes) -> None:
        if special == damiao.ENABLE and self.condition in (Condition.DISABLED, Condition.ENABLED):
            self.condition = Condition.ENABLED
        elif special == damiao.DISABLE and self.condition == Condition.ENABLED:
            self._stop(Condition.DISABLED)
        elif special == damiao.CLEAR_ERROR and self.condition != Condition.ENABLED:
            self.condition = Condition.ROTOR_HOT if self.hot else Condition.DISABLED

    def _stop(self, condition: Condition) -> None:
        self.condition = condition
        self.release()

    def _command(self, payload: bytes) -> None:
        asked = damiao.decode_command(self._ranges, payload)
        # Zero lies between two steps; what is left of it does not overcome friction.
        slight = abs(asked.torque) <= self._ranges.torque / 2048
        drive = Drive(*(asked._replace(torque=0.0) if slight else asked))
        self.count(drive)
        if self.condition == Condition.ENABLED:
            self.pull(drive)

    def _answer_register(self, payload: bytes) -> list[BusFrame]:
        if int.from_bytes(payload[:2], "little") != self._id:
            return []
        if damiao.is_refresh(payload):
            return [self._feedback()]
        asked = damiao.decode_register(payload)
        if asked is None or asked.register not in self.registers:
            return []
        if asked.writes:
            value = damiao.unpack_register(asked.register, asked.value)
            # A register never holds what its type cannot say back.
            if not math.isfinite(value):
                return []
            self.registers[asked.register] = value
        stored = damiao.pack_register(asked.register, self.registers[asked.register])
        return [BusFrame(self._feedback_id, payload[:4] + stored)]

    def _feedback(self) -> BusFrame:
        feedback = Feedback(
            self._id,
            self.condition,
            self.position,
            self.velocity,
            self.torque,
            self.celsius,
            self.celsius,
        )
        return BusFrame(self._feedback_id, damiao.encode_feedback(self._ranges, feedback))
