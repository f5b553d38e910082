"""An emulated ODrive axis: states, cascaded gains, heartbeats, a watchdog that latches."""

from __future__ import annotations

import math
import struct

from neon_edge.config import OdriveMotor
from neon_edge.sim.dynamics import Drive, Dynamics
from neon_edge.sim.motor import EmulatedMotor
from neon_edge.transport.protocol import odrive
from neon_edge.transport.protocol.odrive import Command
from neon_edge.types import BusFrame

HEARTBEAT_NS = 100_000_000
ESTIMATES_NS = 10_000_000
OVERHEATED = 0x0004_0000
"""MOTOR_OVER_TEMP in the active errors."""
HARDWARE = (4, 4, 58)
FIRMWARE = "0.6.11"
FEEDING = frozenset(
    (Command.INPUT_POSITION, Command.INPUT_VELOCITY, Command.INPUT_TORQUE, Command.SET_STATE)
)


class EmulatedOdrive(EmulatedMotor):
    """One axis on a CAN bus; set-points feed its watchdog, closing the loop feeds it once."""

    def __init__(
        self, motor: OdriveMotor, dynamics: Dynamics, axis: int, *, cyclic: bool = True
    ) -> None:
        super().__init__(dynamics, axis)
        self.node = motor.id
        self._gear = motor.gear
        self._watchdog_ns = motor.watchdog_ms * 1_000_000
        self._cyclic = cyclic
        major, minor, patch = (int(part) for part in (motor.firmware or FIRMWARE).split("."))
        self._firmware = (major, minor, patch)
        self._fed_ns = self._beat_ns = self._told_ns = 0
        self._power_on()

    def _power_on(self) -> None:
        self.state = odrive.IDLE
        self.error = 0
        self._mode = odrive.POSITION_CONTROL
        self._position_gain, self._velocity_gain = 20.0, 0.1667
        self._goal = (self.position * self._gear, 0.0, 0.0)
        self._speed = (0.0, 0.0)
        self._torque = 0.0

    def watch(self, now_ns: int) -> None:
        """Silence disarms it, with an error that keeps it so."""
        closed = self.state == odrive.CLOSED_LOOP
        if self._watchdog_ns and closed and now_ns - self._fed_ns > self._watchdog_ns:
            self._disarm(odrive.WATCHDOG_EXPIRED)

    def restart(self) -> None:
        """A reboot: idle, gains back to what flash holds."""
        self._power_on()
        self.release()

    def overheat(self, hot: bool) -> None:
        """Disarmed until it is cool and cleared."""
        self.hot = hot
        if hot:
            self._disarm(OVERHEATED)

    def _disarm(self, error: int) -> None:
        self.error |= error
        self.state = odrive.IDLE
        self.release()

    def speak(self, now_ns: int) -> list[BusFrame]:
        """Heartbeats ten times a second, estimates a hundred times."""
        frames = []
        if self._cyclic and now_ns - self._beat_ns >= HEARTBEAT_NS:
            self._beat_ns = now_ns
            frames.append(self._say(Command.HEARTBEAT))
        if self._cyclic and now_ns - self._told_ns >= ESTIMATES_NS:
            self._told_ns = now_ns
            frames.append(self._say(Command.ESTIMATES))
        return [frame for frame in frames if frame is not None]

    def answer(self, frame: BusFrame, now_ns: int) -> list[BusFrame]:
        """Messages to this node; remote frames are answered."""
        self.dynamics.advance(now_ns)
        self.watch(now_ns)
        if frame.extended or frame.arbitration_id >> 5 != self.node:
            return []
        command = frame.arbitration_id & 31
        if frame.remote:
            said = self._say(command)
            return [] if said is None else [said]
        try:
            self._obey(command, frame.payload)
        except (struct.error, ValueError):
            return []
        if command in FEEDING:
            self._fed_ns = now_ns
        self._drive()
        return []

    def _say(self, command: int) -> BusFrame | None:
        gear, turn = self._gear, math.tau
        match command:
            case Command.VERSION:
                return odrive.version(self.node, HARDWARE, self._firmware)
            case Command.HEARTBEAT:
                return odrive.heartbeat(self.node, self.error, self.state)
            case Command.ESTIMATES:
                position, speed = self.position * gear / turn, self.velocity * gear / turn
                return odrive.floats(self.node, Command.ESTIMATES, position, speed)
            case Command.TORQUES:
                torque = self.torque / gear
                return odrive.floats(self.node, Command.TORQUES, torque, torque)
            case Command.ERRORS:
                return odrive.words(self.node, Command.ERRORS, self.error, self.error)
            case _:
                return None

    def _obey(self, command: int, payload: bytes) -> None:
        match command:
            case Command.ESTOP:
                self._disarm(0x0000_1000)
            case Command.SET_STATE:
                self._set_state(struct.unpack("<I", payload)[0])
            case Command.SET_MODES:
                mode, _ = struct.unpack("<II", payload)
                if mode in (
                    odrive.TORQUE_CONTROL,
                    odrive.VELOCITY_CONTROL,
                    odrive.POSITION_CONTROL,
                ):
                    self._mode = mode
            case Command.INPUT_POSITION:
                goal = odrive.decode_input_position(payload)
                if not math.isfinite(goal[0]):
                    raise ValueError("a goal that is not a number")
                self._goal = goal
                self.commands_received += 1
            case Command.INPUT_VELOCITY:
                self._speed = odrive.decode_floats(payload)
                self.commands_received += 1
            case Command.INPUT_TORQUE:
                (torque,) = struct.unpack("<f", payload)
                self._torque = torque if math.isfinite(torque) else 0.0
            case Command.POSITION_GAIN:
                (self._position_gain,) = _gains(struct.unpack("<f", payload))
            case Command.VELOCITY_GAINS:
                self._velocity_gain, _ = _gains(struct.unpack("<ff", payload))
            case Command.CLEAR_ERRORS:
                self.error = OVERHEATED if self.hot else 0
            case _:
                pass

    def _set_state(self, state: int) -> None:
        if state == odrive.IDLE:
            self.state = odrive.IDLE
            self.release()
        elif state == odrive.CLOSED_LOOP and not self.error:
            self.state = odrive.CLOSED_LOOP

    def _drive(self) -> None:
        if self.state != odrive.CLOSED_LOOP:
            return
        gear = self._gear
        kd = self._velocity_gain / math.tau * gear * gear
        match self._mode:
            case odrive.POSITION_CONTROL:
                position, speed, torque = self._goal
                kp = self._position_gain * kd
                self.pull(Drive(position / gear, speed / gear, kp, kd, torque * gear))
            case odrive.VELOCITY_CONTROL:
                turns, torque = self._speed
                speed = turns * math.tau / gear
                self.pull(Drive(self.position, speed, 0.0, kd, torque * gear))
            case _:
                self.pull(Drive(self.position, torque=self._torque * gear))


def _gains(values: tuple[float, ...]) -> tuple[float, ...]:
    if not all(math.isfinite(value) and 0 <= value <= 1e6 for value in values):
        raise ValueError(f"gains {values}")
    return values
