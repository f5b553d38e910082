"""A robot file as emulated motors: every joint on its bus, moving from an initial pose."""

from __future__ import annotations

import numpy as np

from neon_edge.config import Joint, RobotConfig
from neon_edge.sim.dynamics import Dynamics, Mechanics
from neon_edge.sim.families import emulated, on_bus
from neon_edge.sim.motor import EmulatedMotor
from neon_edge.sim.motors import Motors
from neon_edge.types import Float64, Int64

HIGHEST_FREQUENCY = 200.0
"""rad/s. No joint is lighter than what resonates there at its own kp."""
LIGHTEST = 1e-3
"""kg·m²"""
DAMPING = 0.05
"""N·m·s/rad in every joint, beside the damping that the motor commands."""
POSE_MARGIN = 0.02
"""rad: the initial pose stays this far inside the limits."""


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
        self.motors: list[EmulatedMotor] = [
            emulated(joint, self.dynamics, axis) for axis, joint in enumerate(config.joints)
        ]
        self.buses: dict[str, Motors] = {
            bus.name: on_bus(
                bus,
                [
                    motor
                    for joint, motor in zip(config.joints, self.motors, strict=True)
                    if joint.bus == bus.name
                ],
                self.dynamics,
            )
            for bus in config.buses
            if bus.channel == "sim"
        }

    def advance(self, now_ns: int) -> None:
        """Let time pass for joints and watchdogs."""
        self.dynamics.advance(now_ns)
        for motors in self.buses.values():
            motors.watch(now_ns)

    def positions(self) -> Float64:
        """Joint positions (joints,) in rad, in the robot file's order and sense."""
        return (self.dynamics.position - self._offsets) * self._signs

    def gains(self) -> tuple[Float64, Float64]:
        """kp and kd that each motor pulls with, (joints,)."""
        return self.dynamics.gains

    def received(self) -> Int64:
        """Joint commands that each motor has been given, (joints,)."""
        return np.array([motor.commands_received for motor in self.motors], np.int64)


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
