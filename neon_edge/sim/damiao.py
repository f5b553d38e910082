"""An emulated Damiao motor: registers, enable, MIT control, and a watchdog that latches."""

from __future__ import annotations

from neon_edge.config import DamiaoMotor
from neon_edge.sim.dynamics import Drive, Dynamics
from neon_edge.transport.protocol import damiao
from neon_edge.transport.protocol.damiao import Condition, Feedback, Ranges, Register
from neon_edge.types import BusFrame

CELSIUS = 35
TIMEOUT_UNIT_NS = 50_000


class EmulatedDamiao:
    """One motor on a CAN bus; `axis` is its place in the body's dynamics.

    It feeds its watchdog on frames to its own id only, and when the watchdog trips it takes off
    its torque and says LOST_COMMUNICATION until it is cleared and enabled again.
    """

    def __init__(self, motor: DamiaoMotor, dynamics: Dynamics, axis: int) -> None:
        self._id = motor.id
        self._feedback_id = motor.feedback_id
        self._dynamics = dynamics
        self._axis = axis
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
        self.commands_received = 0
        self._fed_ns = 0

    def watch(self, now_ns: int) -> None:
        """Trip the watchdog if it is armed and nobody has fed it."""
        timeout_ns = int(self.registers[Register.TIMEOUT]) * TIMEOUT_UNIT_NS
        silent = timeout_ns and now_ns - self._fed_ns > timeout_ns
        if silent and self.condition == Condition.ENABLED:
            self._stop(Condition.LOST_COMMUNICATION)

    def answer(self, frame: BusFrame, now_ns: int) -> BusFrame | None:
        """What this motor replies to a frame, or None where it is not meant or makes no sense."""
        self._dynamics.advance(now_ns)
        self.watch(now_ns)
        if frame.extended or len(frame.payload) != damiao.FRAME_BYTES:
            return None
        if frame.arbitration_id == damiao.REGISTER_ID:
            return self._answer_register(frame.payload)
        if frame.arbitration_id != self._id:
            return None
        self._fed_ns = now_ns
        if frame.payload in damiao.SPECIALS:
            self._obey(frame.payload)
        else:
            self._command(frame.payload)
        return self._feedback()

    def _obey(self, special: bytes) -> None:
        if special == damiao.ENABLE and self.condition in (Condition.DISABLED, Condition.ENABLED):
            self.condition = Condition.ENABLED
        elif special == damiao.DISABLE and self.condition == Condition.ENABLED:
            self._stop(Condition.DISABLED)
        elif special == damiao.CLEAR_ERROR and self.condition != Condition.ENABLED:
            self.condition = Condition.DISABLED

    def _stop(self, condition: Condition) -> None:
        self.condition = condition
        self._dynamics.release(self._axis)

    def _command(self, payload: bytes) -> None:
        self.commands_received += 1
        if self.condition == Condition.ENABLED:
            command = damiao.decode_command(self._ranges, payload)
            self._dynamics.drive(self._axis, Drive(*command))

    def _answer_register(self, payload: bytes) -> BusFrame | None:
        if int.from_bytes(payload[:2], "little") != self._id:
            return None
        if damiao.is_refresh(payload):
            return self._feedback()
        asked = damiao.decode_register(payload)
        if asked is None or asked.register not in self.registers:
            return None
        if asked.writes:
            self.registers[asked.register] = damiao.unpack_register(asked.register, asked.value)
        stored = damiao.pack_register(asked.register, self.registers[asked.register])
        return BusFrame(self._feedback_id, payload[:4] + stored)

    def _feedback(self) -> BusFrame:
        dynamics, axis = self._dynamics, self._axis
        feedback = Feedback(
            self._id,
            self.condition,
            float(dynamics.position[axis]),
            float(dynamics.velocity[axis]),
            float(dynamics.torque[axis]),
            CELSIUS,
            CELSIUS,
        )
        return BusFrame(self._feedback_id, damiao.encode_feedback(self._ranges, feedback))
