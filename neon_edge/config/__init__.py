"""TOML in, frozen structs out: strict, with the place and a suggestion in every error."""

from neon_edge.config.find import find_robot, load_robot, search_path
from neon_edge.config.motors import DamiaoMotor, DynamixelMotor, Motor
from neon_edge.config.robot import (
    Budget,
    Bus,
    CanBus,
    ClipCamera,
    FixedSensor,
    Joint,
    RobotConfig,
    SafetyLimits,
    SerialBus,
)
from neon_edge.config.strict import decode_toml

__all__ = [
    "Budget",
    "Bus",
    "CanBus",
    "ClipCamera",
    "DamiaoMotor",
    "DynamixelMotor",
    "FixedSensor",
    "Joint",
    "Motor",
    "RobotConfig",
    "SafetyLimits",
    "SerialBus",
    "decode_toml",
    "find_robot",
    "load_robot",
    "search_path",
]
