"""The robot of two families that the tests drive, and ways to change it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from neon_edge.config import RobotConfig, load_robot
from neon_edge.sim import Simulation

Start = Callable[[RobotConfig], Simulation]


def two_families() -> RobotConfig:
    """29 joints: Damiao legs and waist, Dynamixel arms."""
    return load_robot(str(Path(__file__).parent / "robots" / "two_families.toml"))


def only(config: RobotConfig, *buses: str) -> RobotConfig:
    return msgspec.structs.replace(
        config,
        buses=[bus for bus in config.buses if bus.name in buses],
        joints=[joint for joint in config.joints if joint.bus in buses],
    )


def with_joint(config: RobotConfig, place: int, **changes: object) -> RobotConfig:
    joints = list(config.joints)
    joints[place] = msgspec.structs.replace(joints[place], **changes)
    return msgspec.structs.replace(config, joints=joints)


def with_motor(config: RobotConfig, place: int, **changes: object) -> RobotConfig:
    motor = msgspec.structs.replace(config.joints[place].motor, **changes)
    return with_joint(config, place, motor=motor)


def patient(config: RobotConfig) -> RobotConfig:
    """Watchdogs that a busy machine does not trip."""
    for place in range(len(config.joints)):
        config = with_motor(config, place, watchdog_ms=500)
    return config
