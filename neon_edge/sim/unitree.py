"""Emulated Unitree GO-M8010-6 motors on their RS-485 line."""

from __future__ import annotations

from collections.abc import Sequence

from neon_edge.config import SerialBus, UnitreeMotor
from neon_edge.sim.dynamics import Drive, Dynamics
from neon_edge.sim.motor import EmulatedMotor
from neon_edge.sim.motors import Reply
from neon_edge.transport.protocol import unitree
from neon_edge.transport.protocol.unitree import Command, CommandStream

TURNAROUND_NS = 100_000
OVERHEATED = 1
BRAKING = 0.5
"""N·m·s/rad: a rotor that is locked is braked, not held."""


class EmulatedUnitree(EmulatedMotor):
    """One motor: its last command, and an error that heat sets."""

    def __init__(self, motor: UnitreeMotor, dynamics: Dynamics, axis: int) -> None:
        super().__init__(dynamics, axis)
        self.id = motor.id
        self.mode = unitree.LOCK

    def restart(self) -> None:
        """Locked again."""
        self.mode = unitree.LOCK
        self.release()

    def overheat(self, hot: bool) -> None:
        """The torque goes while it is hot."""
        self.hot = hot
        if hot:
            self.restart()

    def obey(self, command: Command) -> None:
        """Take a command, unless it is too hot."""
        drive = Drive(command.position, command.velocity, command.kp, command.kd, command.torque)
        if command.mode == unitree.FOC:
            self.count(drive)
        if self.hot or command.mode not in (unitree.LOCK, unitree.FOC):
            return
        self.mode = command.mode
        self.pull(drive if self.mode == unitree.FOC else Drive(self.position, kd=BRAKING))

    def reply(self) -> bytes:
        """Its state."""
        return unitree.encode_reply(
            unitree.Reply(
                self.id,
                self.mode,
                self.position,
                self.velocity,
                self.torque,
                self.celsius,
                OVERHEATED if self.hot else 0,
            )
        )


class UnitreeMotors:
    """The motors of one RS-485 line."""

    def __init__(
        self, bus: SerialBus, motors: Sequence[EmulatedUnitree], dynamics: Dynamics
    ) -> None:
        self._byte_ns = 10 * 1_000_000_000 // bus.baud
        self._all = motors
        self._motors = {motor.id: motor for motor in motors}
        self._dynamics = dynamics
        self.parser = CommandStream()

    def hear(self, raw: bytes, now_ns: int) -> list[Reply]:
        """Commands with a wrong CRC are not heard at all."""
        self._dynamics.advance(now_ns)
        self._motors = {motor.id: motor for motor in self._all if now_ns >= motor.awake_ns}
        replies = []
        for command in self.parser.feed(raw):
            if command.motor == unitree.BROADCAST:
                for motor in self._motors.values():
                    motor.obey(command)
            elif command.motor in self._motors:
                self._motors[command.motor].obey(command)
                replies.append(Reply(TURNAROUND_NS, self._motors[command.motor].reply()))
        return replies

    def speak(self, now_ns: int) -> list[Reply]:
        """Motors speak only when spoken to."""
        return []

    def watch(self, now_ns: int) -> None:
        """There is nothing to trip."""

    def wire_ns(self, raw: bytes) -> int:
        """Ten bits a byte."""
        return len(raw) * self._byte_ns
