"""An emulated moteus: registers, a console, a watchdog that travels with the command."""

from __future__ import annotations

import math

from neon_edge.config import MoteusMotor
from neon_edge.sim.dynamics import Drive, Dynamics
from neon_edge.sim.motor import EmulatedMotor
from neon_edge.transport.protocol import moteus
from neon_edge.transport.protocol.moteus import Mode, Parsed, Register
from neon_edge.types import BusFrame

DEFAULT_TIMEOUT_S = 0.1
OVERHEATED = 40
"""Fault code: over temperature."""
MODEL, FIRMWARE = 4, 0x0001_0600
LONGEST_LINE = 200
LONGEST_ANSWER = 64
TEMPERATURES = (0x00A, 0x00E)
VOLTAGE = 0x00D


class EmulatedMoteus(EmulatedMotor):
    """One controller on a CAN FD bus."""

    def __init__(self, motor: MoteusMotor, dynamics: Dynamics, axis: int) -> None:
        super().__init__(dynamics, axis)
        self._id = motor.id
        self._gains = (motor.kp_max, motor.kd_max)
        self._effort = float(dynamics.effort[axis])
        self._configured = {
            "servo.pid_position.kp": motor.kp_max * math.tau,
            "servo.pid_position.kd": motor.kd_max * math.tau,
            "servo.default_timeout_s": DEFAULT_TIMEOUT_S,
        }
        self._firmware = int(motor.firmware, 16) if motor.firmware else FIRMWARE
        self.mode: int = Mode.STOPPED
        self.fault = 0
        self._timeout_ns = 0
        self._fed_ns = 0
        self._typed = bytearray()
        self._says = bytearray()

    def watch(self, now_ns: int) -> None:
        """Silence times it out; only STOPPED ends that."""
        armed = self.mode == Mode.POSITION and self._timeout_ns > 0
        if armed and now_ns - self._fed_ns > self._timeout_ns:
            self.mode = Mode.TIMEOUT
            self.release()

    def restart(self) -> None:
        """A reboot: stopped."""
        self._stop()

    def overheat(self, hot: bool) -> None:
        """A fault, latched until it is stopped and cool."""
        self.hot = hot
        if hot:
            self.mode, self.fault = Mode.FAULT, OVERHEATED
            self.release()

    def _stop(self) -> None:
        if not self.hot:
            self.mode, self.fault = Mode.STOPPED, 0
        self.release()

    def speak(self, now_ns: int) -> list[BusFrame]:
        """It speaks only when spoken to."""
        return []

    def answer(self, frame: BusFrame, now_ns: int) -> list[BusFrame]:
        """What it replies to a frame; nothing where it is not meant or makes no sense."""
        self.dynamics.advance(now_ns)
        self.watch(now_ns)
        # What stands above 16 bits is the prefix of another network: ours is 0.
        if frame.remote or frame.arbitration_id & ~0xFF00 != self._id:
            return []
        source = frame.arbitration_id >> 8
        if source & 0x7F == self._id:
            return []
        try:
            parsed = moteus.parse(frame.payload)
        except ValueError:
            return []
        self._write(parsed, now_ns)
        if parsed.console is not None:
            self._type(parsed.console)
        if not source & moteus.REPLY_FLAG:
            return []
        body = moteus.reply([(r, kind, self._register(r)) for r, kind in parsed.asked])
        if parsed.console_asked:
            body += self._speak(parsed.console_asked)
        if len(body) > LONGEST_ANSWER:
            # More than a frame holds was asked for.
            return []
        return [moteus.frame(self._id << 8 | source & 0x7F, body)]

    def _write(self, parsed: Parsed, now_ns: int) -> None:
        values = parsed.values
        mode = values.get(Register.MODE)
        if mode == Mode.STOPPED:
            self._stop()
        elif mode == Mode.POSITION:
            self._command(values, now_ns)

    def _command(self, values: dict[int, float], now_ns: int) -> None:
        position = values.get(Register.COMMAND_POSITION, math.nan)
        velocity = values.get(Register.COMMAND_VELOCITY, 0.0)
        torque = values.get(Register.COMMAND_TORQUE, 0.0)
        scales = (
            values.get(Register.COMMAND_KP_SCALE, 1.0),
            values.get(Register.COMMAND_KD_SCALE, 1.0),
        )
        limit = values.get(Register.COMMAND_MAX_TORQUE, self._effort)
        timeout_s = values.get(Register.COMMAND_TIMEOUT, DEFAULT_TIMEOUT_S)
        goal = self.position if math.isnan(position) else position * math.tau
        if not math.isfinite(velocity + torque + sum(scales) + goal) or min(scales) < 0:
            return
        kp, kd = (scale * gain for scale, gain in zip(scales, self._gains, strict=True))
        drive = Drive(goal, velocity * math.tau, kp, kd, torque)
        self.count(drive)
        if self.mode not in (Mode.STOPPED, Mode.POSITION):
            return
        self.mode = Mode.POSITION
        self._fed_ns = now_ns
        self._timeout_ns = 0 if math.isnan(timeout_s) else int(timeout_s * 1e9)
        limit = self._effort if math.isnan(limit) else min(abs(limit), self._effort)
        self.dynamics.effort[self.axis] = limit
        self.pull(drive)

    def _register(self, register: int) -> float:
        return {
            Register.MODE: float(self.mode),
            Register.POSITION: self.position / math.tau,
            Register.VELOCITY: self.velocity / math.tau,
            Register.TORQUE: self.torque,
            Register.FAULT: float(self.fault),
            Register.MODEL: float(MODEL),
            Register.FIRMWARE: float(self._firmware),
            **dict.fromkeys(TEMPERATURES, float(self.celsius)),
            VOLTAGE: 24.0,
        }.get(register, 0.0)

    def _type(self, words: bytes) -> None:
        self._typed += words
        while b"\n" in self._typed:
            line, _, rest = self._typed.partition(b"\n")
            self._typed = rest
            self._says += self._run(line.decode("ascii", "replace").split())
        del self._typed[:-LONGEST_LINE]

    def _run(self, words: list[str]) -> bytes:
        if words[:2] == ["conf", "get"] and len(words) == 3 and words[2] in self._configured:
            return f"{self._configured[words[2]]:.6f}\r\n".encode()
        return b"ERR unknown\r\n"

    def _speak(self, most: int) -> bytes:
        said = bytes(self._says[: min(most, 48)])
        del self._says[: len(said)]
        return bytes((0x41, moteus.CONSOLE, len(said))) + said
