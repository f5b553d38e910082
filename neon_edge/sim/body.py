"""A robot file as emulated motors: every joint on its bus, moving from an initial pose."""

from __future__ import annotations

import numpy as np

from neon_edge.config import Bus as BusConfig
from neon_edge.config import (
    CanBus,
    DamiaoMotor,
    DynamixelMotor,
    Joint,
    RobotConfig,
    SerialBus,
)
from neon_edge.errors import ConfigWrong
from neon_edge.sim.damiao import EmulatedDamiao
from neon_edge.sim.dynamics import Dynamics, Float64, Mechanics
from neon_edge.sim.dynamixel import EmulatedDynamixel
from neon_edge.sim.motors import CanMotors, Motors, SerialMotors
from neon_edge.types import Int64

HIGHEST_FREQUENCY = 200.0
"""rad/s. No joint is lighter than what resonates there at its own kp."""
LIGHTEST = 1e-3
"""kg·m²"""
DAMPING = 0.05
"""N·m·s/rad in every joint, beside the damping that the motor commands."""
POSE_MARGIN = 0.02
"""rad: the initial pose stays this far inside the limits."""

Motor = EmulatedDamiao | EmulatedDynamixel


class Body:
    """All emulated motors of a robot, by bus, and what they have been through."""

    def __init__(self, config: RobotConfig, start_ns: int, pose: Float64 | None = None) -> None:
        self._signs = np.array([joint.sign for joint in config.joints], np.float64)
        self._offsets = np.array([joint.offset for joint in config.joints], np.float64)
        wanted = np.zeros(len(config.joints)) if pose is None else pose
        inside = np.array(
            [_inside(j, float(q)) for j, q in zip(config.joints, wanted, strict=True)]
        )
        self.dynamics = Dynamics(
            [mechanics(joint) for joint in config.joints],
            self._signs * inside + self._offsets,
            start_ns,
        )
        self.motors: list[Motor] = [
            _emulated(joint, self.dynamics, axis) for axis, joint in enumerate(config.joints)
        ]
        self.buses: dict[str, Motors] = {
            bus.name: self._on_bus(config, bus) for bus in config.buses if bus.channel == "sim"
        }

    def _on_bus(self, config: RobotConfig, bus: BusConfig) -> Motors:
        pairs = zip(config.joints, self.motors, strict=True)
        motors = [motor for joint, motor in pairs if joint.bus == bus.name]
        if isinstance(bus, CanBus):
            damiao = [motor for motor in motors if isinstance(motor, EmulatedDamiao)]
            self._check_family(bus, len(motors) - len(damiao))
            return CanMotors(bus, damiao)
        servos = [motor for motor in motors if isinstance(motor, EmulatedDynamixel)]
        self._check_family(bus, len(motors) - len(servos))
        return SerialMotors(bus, servos, self.dynamics)

    def _check_family(self, bus: CanBus | SerialBus, strangers: int) -> None:
        if strangers:
            raise ConfigWrong(
                f"bus {bus.name!r} has motors that it cannot carry",
                f"{strangers} of another family on a {bus.__struct_config__.tag} bus",
                "Damiao motors are on CAN, Dynamixel servos on serial lines",
            )

    def advance(self, now_ns: int) -> None:
        """Let time pass for joints and watchdogs."""
        self.dynamics.advance(now_ns)
        for motors in self.buses.values():
            motors.watch(now_ns)

    def positions(self) -> Float64:
        """Joint positions (joints,) in rad, in the robot file's order and sense."""
        return (self.dynamics.position - self._offsets) * self._signs

    def received(self) -> Int64:
        """Joint commands that each motor has been given, (joints,)."""
        return np.array([_received(motor) for motor in self.motors], np.int64)


def mechanics(joint: Joint) -> Mechanics:
    """A joint that its own gains damp critically: inertia = kd² / 4 kp, within reason."""
    inertia = LIGHTEST
    if joint.kp > 0:
        inertia = max(inertia, joint.kd**2 / (4 * joint.kp), joint.kp / HIGHEST_FREQUENCY**2)
    ends = sorted(joint.sign * limit + joint.offset for limit in (joint.lower, joint.upper))
    return Mechanics(inertia, DAMPING, ends[0], ends[1], joint.velocity, joint.effort)


def _inside(joint: Joint, position: float) -> float:
    margin = min(POSE_MARGIN, (joint.upper - joint.lower) / 2)
    return min(max(position, joint.lower + margin), joint.upper - margin)


def _emulated(joint: Joint, dynamics: Dynamics, axis: int) -> Motor:
    match joint.motor:
        case DamiaoMotor():
            return EmulatedDamiao(joint.motor, dynamics, axis)
        case DynamixelMotor():
            return EmulatedDynamixel(joint, joint.motor, dynamics, axis)


def _received(motor: Motor) -> int:
    return motor.goals_received if isinstance(motor, EmulatedDynamixel) else motor.commands_received
