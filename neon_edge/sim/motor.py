"""What every emulated motor is: an axis of the body with a temperature and a supply."""

from __future__ import annotations

from typing import Protocol

from neon_edge.sim.dynamics import Drive, Dynamics
from neon_edge.types import BusFrame

RESTART_NS = 150_000_000
"""How long a motor that was without power hears nothing and says nothing."""
COOL_CELSIUS, HOT_CELSIUS = 35, 110


class EmulatedMotor:
    """One axis; families add their registers and frames."""

    def __init__(self, dynamics: Dynamics, axis: int) -> None:
        self.dynamics = dynamics
        self.axis = axis
        self.commands_received = 0
        """Joint commands, but for those that ask for neither gain nor torque."""
        self.hot = False
        self.mute = False
        """On CAN: hears and obeys, and says nothing."""
        self.late_ns = 0
        """On CAN: its answers reach the wire this long after they should."""
        self.awake_ns = 0
        """It hears nothing and says nothing before: it is starting."""

    @property
    def position(self) -> float:
        """rad, at the motor."""
        return float(self.dynamics.position[self.axis])

    @property
    def velocity(self) -> float:
        """rad/s, at the motor."""
        return float(self.dynamics.velocity[self.axis])

    @property
    def torque(self) -> float:
        """N·m, at the motor."""
        return float(self.dynamics.torque[self.axis])

    @property
    def celsius(self) -> int:
        """What its sensor says."""
        return HOT_CELSIUS if self.hot else COOL_CELSIUS

    def pull(self, drive: Drive) -> None:
        """Put the axis under impedance control."""
        self.dynamics.drive(self.axis, drive)

    def release(self) -> None:
        """No torque."""
        self.dynamics.release(self.axis)

    def count(self, drive: Drive) -> None:
        """A command was received; limp ones do not count."""
        self.commands_received += bool(drive.kp or drive.kd or drive.torque)

    def watch(self, now_ns: int) -> None:
        """Trip the watchdog if it is armed and nobody has fed it. Most families have one."""

    def brown_out(self, dark_ns: int = RESTART_NS) -> None:
        """The supply dips and returns: what was in memory is gone, the torque with it."""
        self.awake_ns = self.dynamics.reached_ns + dark_ns
        self.restart()

    def restart(self) -> None:
        """As power-on leaves it."""
        raise NotImplementedError

    def overheat(self, hot: bool) -> None:
        """Its temperature passes the family's own limit, or falls below it again."""
        raise NotImplementedError


class CanMotor(Protocol):
    """A motor on a CAN bus."""

    mute: bool
    late_ns: int
    awake_ns: int

    def answer(self, frame: BusFrame, now_ns: int) -> list[BusFrame]:
        """What it replies to a frame; every motor hears every frame."""

    def speak(self, now_ns: int) -> list[BusFrame]:
        """What it sends unasked by now."""

    def watch(self, now_ns: int) -> None:
        """Let its watchdog trip."""
