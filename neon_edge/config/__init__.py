"""TOML in, frozen structs out: strict, with the place and a suggestion in every error."""

from neon_edge.config.base import UdpBase
from neon_edge.config.find import find_robot, load_robot, search_path
from neon_edge.config.motors import (
    Cia402Motor,
    DamiaoMotor,
    DynamixelMotor,
    FeetechMotor,
    MoteusMotor,
    Motor,
    OdriveMotor,
    RobstrideMotor,
    UnitreeMotor,
)
from neon_edge.config.robot import (
    Budget,
    Bus,
    CanBus,
    ClipCamera,
    Joint,
    RobotConfig,
    SafetyLimits,
    SerialBus,
)
from neon_edge.config.sensors import FixedSensor
from neon_edge.config.strict import decode_toml

__all__ = [
    "Budget",
    "Bus",
    "CanBus",
    "Cia402Motor",
    "ClipCamera",
    "DamiaoMotor",
    "DynamixelMotor",
    "FeetechMotor",
    "FixedSensor",
    "Joint",
    "MoteusMotor",
    "Motor",
    "OdriveMotor",
    "RobotConfig",
    "RobstrideMotor",
    "SafetyLimits",
    "SerialBus",
    "UdpBase",
    "UnitreeMotor",
    "decode_toml",
    "find_robot",
    "load_robot",
    "search_path",
]
