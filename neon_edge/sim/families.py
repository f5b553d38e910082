"""Which emulator stands for which family: the one table to add a family to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from neon_edge.config import (
    Bus,
    CanBus,
    Cia402Motor,
    DamiaoMotor,
    DynamixelMotor,
    FeetechMotor,
    Joint,
    MoteusMotor,
    Motor,
    OdriveMotor,
    RobstrideMotor,
    UnitreeMotor,
)
from neon_edge.errors import ConfigWrong
from neon_edge.sim.cia402 import EmulatedCia402
from neon_edge.sim.damiao import EmulatedDamiao
from neon_edge.sim.dynamics import Dynamics
from neon_edge.sim.dynamixel import EmulatedDynamixel
from neon_edge.sim.dynamixel_line import DynamixelMotors
from neon_edge.sim.feetech import EmulatedFeetech, FeetechMotors
from neon_edge.sim.moteus import EmulatedMoteus
from neon_edge.sim.motor import EmulatedMotor
from neon_edge.sim.motors import CanMotors, Motors
from neon_edge.sim.odrive import EmulatedOdrive
from neon_edge.sim.robstride import EmulatedRobstride
from neon_edge.sim.unitree import EmulatedUnitree, UnitreeMotors

M = TypeVar("M", bound=EmulatedMotor)

CAN_FAMILIES = (EmulatedDamiao, EmulatedRobstride, EmulatedOdrive, EmulatedMoteus, EmulatedCia402)


Maker = Callable[[Any, Joint, Dynamics, int], EmulatedMotor]

MAKERS: dict[type[Motor], Maker] = {
    DamiaoMotor: lambda motor, _, dynamics, axis: EmulatedDamiao(motor, dynamics, axis),
    RobstrideMotor: lambda motor, _, dynamics, axis: EmulatedRobstride(motor, dynamics, axis),
    OdriveMotor: lambda motor, _, dynamics, axis: EmulatedOdrive(motor, dynamics, axis),
    MoteusMotor: lambda motor, _, dynamics, axis: EmulatedMoteus(motor, dynamics, axis),
    UnitreeMotor: lambda motor, _, dynamics, axis: EmulatedUnitree(motor, dynamics, axis),
    Cia402Motor: lambda motor, joint, dynamics, axis: EmulatedCia402(
        motor, (joint.kp, joint.kd), dynamics, axis
    ),
    DynamixelMotor: lambda motor, joint, dynamics, axis: EmulatedDynamixel(
        joint, motor, dynamics, axis
    ),
    FeetechMotor: lambda motor, joint, dynamics, axis: EmulatedFeetech(
        joint, motor, dynamics, axis
    ),
}


def emulated(joint: Joint, dynamics: Dynamics, axis: int) -> EmulatedMotor:
    """The emulated motor of a joint."""
    return MAKERS[type(joint.motor)](joint.motor, joint, dynamics, axis)


def on_bus(bus: Bus, motors: Sequence[EmulatedMotor], dynamics: Dynamics) -> Motors:
    """The motors of one bus. Raises `ConfigWrong` where it cannot carry them."""
    if isinstance(bus, CanBus):
        nodes = [motor for motor in motors if isinstance(motor, CAN_FAMILIES)]
        if len(nodes) < len(motors):
            raise _cannot_carry(bus, len(motors) - len(nodes))
        return CanMotors(bus, nodes)
    match motors[0] if motors else None:
        case EmulatedFeetech():
            return FeetechMotors(bus, _only(bus, motors, EmulatedFeetech), dynamics)
        case EmulatedUnitree():
            return UnitreeMotors(bus, _only(bus, motors, EmulatedUnitree), dynamics)
        case _:
            return DynamixelMotors(bus, _only(bus, motors, EmulatedDynamixel), dynamics)


def _only(bus: Bus, motors: Sequence[EmulatedMotor], family: type[M]) -> list[M]:
    own = [motor for motor in motors if isinstance(motor, family)]
    if len(own) < len(motors):
        raise _cannot_carry(bus, len(motors) - len(own))
    return own


def _cannot_carry(bus: Bus, strangers: int) -> ConfigWrong:
    return ConfigWrong(
        f"bus {bus.name!r} has motors that it cannot carry",
        f"{strangers} of another family on a {bus.__struct_config__.tag} bus",
        "Dynamixel, Feetech and Unitree motors are on serial lines, all others on CAN",
    )
