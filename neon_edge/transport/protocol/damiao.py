"""Damiao DM-J motors in MIT mode: eight bytes each way on classic CAN. Pure functions.

    command   | position 16 | velocity 12 | kp 12 | kd 12 | torque 12 |           big-endian
    feedback  | error 4, id 4 | position 16 | velocity 12 | torque 12 | °C 8 | °C 8 |
    register  | id u16 | 33 read, 55 write, CC refresh | register | value u32 or f32 |  on 0x7FF

Values are **truncated** onto their steps, not rounded, as every published implementation does, so
that our frames equal captured ones; the price is half a step of bias downwards (2.4 mN·m of 10).
Sources: LeRobot motors/damiao, enactic/openarm_can src/openarm/damiao_motor.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

REGISTER_ID = 0x7FF
"""The arbitration id that every motor listens to for registers."""
FLOAT32_MAX = 3.4028234663852886e38
KP_MAX = 500.0
KD_MAX = 5.0
FRAME_BYTES = 8

ENABLE = b"\xff\xff\xff\xff\xff\xff\xff\xfc"
DISABLE = b"\xff\xff\xff\xff\xff\xff\xff\xfd"
SET_ZERO = b"\xff\xff\xff\xff\xff\xff\xff\xfe"
CLEAR_ERROR = b"\xff\xff\xff\xff\xff\xff\xff\xfb"
SPECIALS = frozenset((ENABLE, DISABLE, SET_ZERO, CLEAR_ERROR))
SPECIAL_PREFIX = ENABLE[:7]

MIT_MODE = 1
WATCHDOG_PER_MS = 20
"""Register TIMEOUT counts 50 µs."""

_READ = 0x33
_WRITE = 0x55
_REFRESH = 0xCC


class Register(IntEnum):
    """The registers we touch. Saving them to flash wears it and is never done here."""

    MASTER_ID = 7
    MOTOR_ID = 8
    TIMEOUT = 9
    MODE = 10
    POSITION_MAX = 21
    VELOCITY_MAX = 22
    TORQUE_MAX = 23


FLOAT_REGISTERS = frozenset((Register.POSITION_MAX, Register.VELOCITY_MAX, Register.TORQUE_MAX))


class Condition(IntEnum):
    """The error nibble of a feedback frame."""

    DISABLED = 0x0
    ENABLED = 0x1
    OVER_VOLTAGE = 0x8
    UNDER_VOLTAGE = 0x9
    OVER_CURRENT = 0xA
    BOARD_HOT = 0xB
    ROTOR_HOT = 0xC
    LOST_COMMUNICATION = 0xD
    OVERLOAD = 0xE


class Ranges(NamedTuple):
    """What full scale means to one motor: rad, rad/s, N·m, each from minus to plus."""

    position: float
    velocity: float
    torque: float


class Command(NamedTuple):
    """One MIT command in SI units, at the motor."""

    position: float
    velocity: float
    kp: float
    kd: float
    torque: float


class Feedback(NamedTuple):
    """One feedback frame in SI units, at the motor; temperatures in °C."""

    low_id: int
    condition: int
    position: float
    velocity: float
    torque: float
    board_celsius: int
    rotor_celsius: int


class RegisterFrame(NamedTuple):
    """A register request or reply: which motor, which register, and its four bytes."""

    motor: int
    writes: bool
    register: int
    value: bytes


def encode_command(ranges: Ranges, command: Command) -> bytes:
    """Eight bytes. Raises `ValueError` for what is not finite or out of range."""
    word = _steps(command.position, -ranges.position, ranges.position, 16)
    word = word << 12 | _steps(command.velocity, -ranges.velocity, ranges.velocity, 12)
    word = word << 12 | _steps(command.kp, 0.0, KP_MAX, 12)
    word = word << 12 | _steps(command.kd, 0.0, KD_MAX, 12)
    word = word << 12 | _steps(command.torque, -ranges.torque, ranges.torque, 12)
    payload = word.to_bytes(FRAME_BYTES, "big")
    if payload.startswith(SPECIAL_PREFIX):
        # All at full scale spells "enable", "disable", "set zero" or "clear error".
        raise ValueError("this command's bytes would be taken for a special frame")
    return payload


def decode_command(ranges: Ranges, payload: bytes) -> Command:
    """What the motor understands. Raises `ValueError` if it is not eight bytes."""
    word = _word(payload)
    return Command(
        _value(word >> 48, -ranges.position, ranges.position, 16),
        _value(word >> 36 & 0xFFF, -ranges.velocity, ranges.velocity, 12),
        _value(word >> 24 & 0xFFF, 0.0, KP_MAX, 12),
        _value(word >> 12 & 0xFFF, 0.0, KD_MAX, 12),
        _value(word & 0xFFF, -ranges.torque, ranges.torque, 12),
    )


def encode_feedback(ranges: Ranges, feedback: Feedback) -> bytes:
    """What a motor answers: position and the rest held within its ranges, as its firmware does."""
    position = min(max(feedback.position, -ranges.position), ranges.position)
    velocity = min(max(feedback.velocity, -ranges.velocity), ranges.velocity)
    torque = min(max(feedback.torque, -ranges.torque), ranges.torque)
    word = (feedback.condition << 4 | feedback.low_id & 0xF) << 16
    word |= _steps(position, -ranges.position, ranges.position, 16)
    word = word << 12 | _steps(velocity, -ranges.velocity, ranges.velocity, 12)
    word = word << 12 | _steps(torque, -ranges.torque, ranges.torque, 12)
    word = word << 16 | feedback.board_celsius << 8 | feedback.rotor_celsius
    return word.to_bytes(FRAME_BYTES, "big")


def decode_feedback(ranges: Ranges, payload: bytes) -> Feedback:
    """A motor's answer. Raises `ValueError` if it is not eight bytes.

    The id in it is only four bits wide: match motors by arbitration id.
    """
    word = _word(payload)
    return Feedback(
        word >> 56 & 0xF,
        word >> 60,
        _value(word >> 40 & 0xFFFF, -ranges.position, ranges.position, 16),
        _value(word >> 28 & 0xFFF, -ranges.velocity, ranges.velocity, 12),
        _value(word >> 16 & 0xFFF, -ranges.torque, ranges.torque, 12),
        word >> 8 & 0xFF,
        word & 0xFF,
    )


def read_register(motor: int, register: int) -> bytes:
    """Ask for a register; the reply has the same shape, on the motor's feedback id."""
    return struct.pack("<HBBI", motor, _READ, register, 0)


def write_register(motor: int, register: int, value: float) -> bytes:
    """Set a register until power goes. Raises `ValueError` for what its type cannot hold."""
    return struct.pack("<HBB", motor, _WRITE, register) + pack_register(register, value)


def refresh(motor: int) -> bytes:
    """Ask for one feedback frame without commanding anything."""
    return struct.pack("<HBBI", motor, _REFRESH, 0, 0)


def is_refresh(payload: bytes) -> bool:
    """Whether a frame on REGISTER_ID only asks for feedback."""
    return len(payload) >= 4 and payload[2] == _REFRESH


def decode_register(payload: bytes) -> RegisterFrame | None:
    """A register request or reply, or None where the bytes are something else."""
    if len(payload) != FRAME_BYTES or payload[2] not in (_READ, _WRITE):
        return None
    motor, verb, register = struct.unpack_from("<HBB", payload)
    return RegisterFrame(motor, verb == _WRITE, register, payload[4:])


def pack_register(register: int, value: float) -> bytes:
    """A register's four bytes: float for the ranges, unsigned for the rest."""
    if register in FLOAT_REGISTERS:
        if not abs(value) <= FLOAT32_MAX:
            raise ValueError(f"register {register} cannot be {value}")
        return struct.pack("<f", value)
    if not 0 <= value <= 0xFFFFFFFF or value != int(value):
        raise ValueError(f"register {register} holds a u32, not {value}")
    return struct.pack("<I", int(value))


def unpack_register(register: int, value: bytes) -> float:
    """The number in a register's four bytes."""
    kind = "<f" if register in FLOAT_REGISTERS else "<I"
    return float(struct.unpack(kind, value)[0])


def _steps(value: float, low: float, high: float, bits: int) -> int:
    # Clamping would turn NaN into full scale. Safety has already limited what comes here.
    if not low <= value <= high:
        raise ValueError(f"{value} does not fit {low} .. {high}")
    return int((value - low) / (high - low) * ((1 << bits) - 1))


def _value(raw: int, low: float, high: float, bits: int) -> float:
    return low + raw / ((1 << bits) - 1) * (high - low)


def _word(payload: bytes) -> int:
    if len(payload) != FRAME_BYTES:
        raise ValueError(f"{len(payload)} bytes where {FRAME_BYTES} are expected")
    return int.from_bytes(payload, "big")
