"""One small robot of every family, each on a bus of its own kind, against emulated motors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
    RobotConfig,
    RobstrideMotor,
    SerialBus,
    UnitreeMotor,
)

PATIENT_MS = 300
"""Watchdogs that a busy machine does not trip."""

Maker = Callable[..., Motor]

MOTORS: dict[str, Maker] = {
    "damiao": lambda k, **rest: DamiaoMotor(
        id=k, feedback_id=0x10 + k, position_max=12.5, velocity_max=30.0, torque_max=10.0, **rest
    ),
    "robstride": lambda k, model="rs02", **rest: RobstrideMotor(id=k, model=model, **rest),
    "odrive": lambda k, **rest: OdriveMotor(id=k, gear=8.0, **rest),
    "moteus": lambda k, **rest: MoteusMotor(id=k, kp_max=60.0, kd_max=3.0, **rest),
    "cia402": lambda k, **rest: Cia402Motor(id=k, **rest),
    "dynamixel": lambda k, **rest: DynamixelMotor(id=k, torque_per_count=0.01, **rest),
    "feetech": lambda k, **_: FeetechMotor(id=k, stall_torque=10.0),
    "feetech_scs": lambda k, **_: FeetechMotor(
        id=k, series="scs", model=1284, counts_per_turn=1024, stall_torque=10.0
    ),
    "unitree": lambda k, **_: UnitreeMotor(id=k, unconfirmed=True),
}
FAMILIES = list(MOTORS)
WATCHED = [name for name in FAMILIES if name not in ("feetech", "feetech_scs", "unitree")]
"""Families that have a watchdog."""
DAMPING = ("damiao", "robstride", "moteus", "unitree")
"""Families that a command alone brings back from a damp."""


def bus_for(family: str) -> Bus:
    """The bus that carries a family."""
    if family in ("dynamixel", "feetech", "feetech_scs"):
        return SerialBus("line", "sim")
    if family == "unitree":
        return SerialBus("line", "sim", baud=4_000_000)
    return CanBus("line", "sim", fd=family == "moteus")


def robot_of(family: str, joints: int = 3, rate_hz: float = 50.0, **motor: Any) -> RobotConfig:
    """A robot of `joints` equal joints."""
    bus = bus_for(family)
    make = MOTORS[family]
    motor.setdefault("watchdog_ms", PATIENT_MS)
    return RobotConfig(
        name=family,
        engines="none",
        simulated=True,
        rate_hz=rate_hz,
        buses=[bus],
        joints=[
            Joint(
                name=f"joint_{k}",
                bus=bus.name,
                motor=make(k + 1, **motor),
                lower=-1.5,
                upper=1.5,
                velocity=10.0,
                effort=5.0,
                kp=40.0,
                kd=1.0,
                sign=-1 if k == 1 else 1,
                offset=0.2 if k == 1 else 0.0,
            )
            for k in range(joints)
        ],
    )
