"""An emulated RobStride motor: parameters, enable, operation control, a watchdog that resets it."""

from __future__ import annotations

from neon_edge.config import RobstrideMotor
from neon_edge.sim.dynamics import Drive, Dynamics
from neon_edge.sim.motor import EmulatedMotor
from neon_edge.transport.protocol import robstride
from neon_edge.transport.protocol.robstride import Kind, Parameter, State
from neon_edge.types import BusFrame

TIMEOUT_UNIT_NS = 50_000
OVERHEATED = 0b000100
"""The fault bit, of six, under-voltage lowest."""
SERIAL = b"emulated"


class EmulatedRobstride(EmulatedMotor):
    """One motor on a CAN bus; `axis` is its place in the body's dynamics."""

    def __init__(self, motor: RobstrideMotor, dynamics: Dynamics, axis: int) -> None:
        super().__init__(dynamics, axis)
        self._id = motor.id
        self._ranges = robstride.MODELS[motor.model]
        self._factory_effort = float(dynamics.effort[axis])
        self.parameters: dict[int, float] = {}
        self.mode = robstride.MODE_RESET
        self.faults = 0
        self._fed_ns = 0
        self._power_on()

    def _power_on(self) -> None:
        self.parameters = {
            Parameter.RUN_MODE: robstride.OPERATION_MODE,
            Parameter.TORQUE_LIMIT: self._ranges.torque,
            Parameter.CAN_TIMEOUT: 0,
        }

    def watch(self, now_ns: int) -> None:
        """Silence resets it: no torque until it is enabled again."""
        timeout_ns = int(self.parameters[Parameter.CAN_TIMEOUT]) * TIMEOUT_UNIT_NS
        running = self.mode == robstride.MODE_RUNNING
        if timeout_ns and running and now_ns - self._fed_ns > timeout_ns:
            self._stop()

    def restart(self) -> None:
        """Off, and parameters back to what flash holds."""
        self._power_on()
        self._stop()

    def overheat(self, hot: bool) -> None:
        """A fault that resets it, latched until it is cleared and cool."""
        self.hot = hot
        if hot:
            self.faults |= OVERHEATED
            self._stop()

    def _stop(self) -> None:
        self.mode = robstride.MODE_RESET
        self.release()

    def speak(self, now_ns: int) -> list[BusFrame]:
        """Active report is off."""
        return []

    def answer(self, frame: BusFrame, now_ns: int) -> list[BusFrame]:
        """What this motor replies to a frame; nothing where it is not meant or makes no sense."""
        self.dynamics.advance(now_ns)
        self.watch(now_ns)
        where = robstride.split(frame.arbitration_id)
        if not frame.extended or where.target != self._id or len(frame.payload) != 8:
            return []
        self._fed_ns = now_ns
        host = where.field & 0xFF
        match where.kind:
            case Kind.GET_ID:
                return [BusFrame(robstride.address(Kind.GET_ID, self._id, 0xFE), SERIAL, True)]
            case Kind.OPERATE:
                self._operate(frame)
                host = 0xFD
            case Kind.ENABLE:
                if not self.faults:
                    self.mode = robstride.MODE_RUNNING
            case Kind.DISABLE:
                self._disable(clears=frame.payload[0] == 1)
            case Kind.READ:
                return self._read(host, frame.payload)
            case Kind.WRITE:
                self._write(frame.payload)
            case _:
                return []
        return [self._state(host)]

    def _operate(self, frame: BusFrame) -> None:
        position, velocity, kp, kd, torque = robstride.decode_command(self._ranges, frame)
        # Zero lies between two steps; what is left of it does not overcome friction.
        step = 2 * self._ranges.torque / robstride.STEPS
        drive = Drive(position, velocity, kp, kd, torque if abs(torque) > step else 0.0)
        self.count(drive)
        if self.mode == robstride.MODE_RUNNING:
            self.pull(drive)

    def _disable(self, *, clears: bool) -> None:
        if clears and not self.hot:
            self.faults = 0
        self._stop()

    def _read(self, host: int, payload: bytes) -> list[BusFrame]:
        index = int.from_bytes(payload[:2], "little")
        if index not in self.parameters:
            return []
        value = robstride.pack_value(index, self.parameters[index])
        reply = robstride.address(Kind.READ, self._id, host)
        return [BusFrame(reply, payload[:4] + value, True)]

    def _write(self, payload: bytes) -> None:
        index = int.from_bytes(payload[:2], "little")
        if index not in self.parameters:
            return
        value = robstride.unpack_value(index, payload[4:])
        if index == Parameter.TORQUE_LIMIT:
            if not 0 <= value <= self._ranges.torque:
                return
            self.dynamics.effort[self.axis] = min(value, self._factory_effort)
        self.parameters[index] = value

    def _state(self, host: int) -> BusFrame:
        state = State(
            self._id,
            self.mode,
            self.faults,
            self.position,
            self.velocity,
            self.torque,
            float(self.celsius),
        )
        return robstride.encode_state(self._ranges, state, host)
