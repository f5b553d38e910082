"""Unitree GO-M8010-6 on RS-485: 17 bytes out, 16 bytes back, little-endian. Pure functions.

    command  FE EE | id 4, mode 3, 0 | torque i16 | speed i16 | position i32 | kp u16 | kd u16 | crc
    reply    FD EE | id 4, mode 3, 0 | torque i16 | speed i16 | position i32 | °C i8 | error 3,
             foot force 12, 0 | crc

On the wire everything is the rotor's: torque N·m / 256, speed 2π / 256 rad/s, position 2π / 32768
rad, kp and kd 25.6 / 32768. Here everything is the output's, behind the 6.33 gear; the functions
take and give SI. CRC-16 reflected 0x8408, initial 0, over all bytes before it.
Sources: unitree_actuator_sdk include/ (the library is binary), and drivers of others that have
moved these motors: nordic-blessing/SPLIB Devices/Unitree/gom_protocol.h, SSC202/STM32_Engine.
"""

from __future__ import annotations

import math
import struct
from typing import NamedTuple

from neon_edge.transport.protocol.stream import PacketStream

GEAR = 6.33
COMMAND_HEADER = b"\xfe\xee"
REPLY_HEADER = b"\xfd\xee"
COMMAND_BYTES = 17
REPLY_BYTES = 16
BROADCAST = 15
"""Everyone listens, nobody answers."""
LOCK, FOC = 0, 1
ERRORS = {1: "overheated", 2: "over-current", 3: "over-voltage", 4: "encoder"}

_COMMAND = struct.Struct("<BhhiHH")
_REPLY = struct.Struct("<BhhibH")
_TORQUE = 256 / GEAR
_SPEED = 256 * GEAR / math.tau
_POSITION = 32768 * GEAR / math.tau
_GAIN = 32768 / (25.6 * GEAR * GEAR)

POSITION_MAX = (2**31 - 1) / _POSITION
VELOCITY_MAX = 32767 / _SPEED
TORQUE_MAX = 32767 / _TORQUE
GAIN_MAX = 32767 / _GAIN
"""Vendor headers declare kp and kd signed, so half of the u16 is not used."""


class Command(NamedTuple):
    """One command at the output, SI units."""

    motor: int
    mode: int
    position: float = 0.0
    velocity: float = 0.0
    kp: float = 0.0
    kd: float = 0.0
    torque: float = 0.0


class Reply(NamedTuple):
    """One motor's answer at the output, SI units; temperature in °C."""

    motor: int
    mode: int
    position: float
    velocity: float
    torque: float
    celsius: int = 30
    error: int = 0
    force: int = 0


def _row(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x8408 if byte & 1 else 0)
    return byte


_TABLE = tuple(_row(byte) for byte in range(256))


def crc_ccitt(covered: bytes) -> int:
    """CRC-16/KERMIT. Check("123456789") = 0x2189."""
    remainder = 0
    for byte in covered:
        remainder = remainder >> 8 ^ _TABLE[(remainder ^ byte) & 0xFF]
    return remainder


class CommandStream(PacketStream[Command]):
    """What a motor hears."""

    header = COMMAND_HEADER
    prefix_bytes = 2

    def span(self, prefix: bytearray) -> int:
        """Always 17."""
        return COMMAND_BYTES

    def packet(self, raw: bytes) -> Command | None:
        """The command, or None where the CRC is wrong."""
        if not _sound(raw):
            return None
        who, torque, speed, position, kp, kd = _COMMAND.unpack_from(raw, 2)
        return Command(
            who & 0xF,
            who >> 4 & 7,
            position / _POSITION,
            speed / _SPEED,
            kp / _GAIN,
            kd / _GAIN,
            torque / _TORQUE,
        )


class ReplyStream(PacketStream[Reply]):
    """What the host hears."""

    header = REPLY_HEADER
    prefix_bytes = 2

    def span(self, prefix: bytearray) -> int:
        """Always 16."""
        return REPLY_BYTES

    def packet(self, raw: bytes) -> Reply | None:
        """The reply, or None where the CRC is wrong."""
        if not _sound(raw):
            return None
        who, torque, speed, position, celsius, rest = _REPLY.unpack_from(raw, 2)
        return Reply(
            who & 0xF,
            who >> 4 & 7,
            position / _POSITION,
            speed / _SPEED,
            torque / _TORQUE,
            celsius,
            rest & 7,
            rest >> 3 & 0xFFF,
        )


def encode_command(command: Command) -> bytes:
    """Seventeen bytes. Raises `ValueError` for what is not finite or does not fit."""
    if not 0 <= command.motor <= BROADCAST or command.mode not in (LOCK, FOC):
        raise ValueError(f"motor {command.motor}, mode {command.mode}")
    body = _COMMAND.pack(
        command.motor | command.mode << 4,
        _steps(command.torque, _TORQUE, -32767, 32767),
        _steps(command.velocity, _SPEED, -32767, 32767),
        _steps(command.position, _POSITION, -(2**31) + 1, 2**31 - 1),
        _steps(command.kp, _GAIN, 0, 32767),
        _steps(command.kd, _GAIN, 0, 32767),
    )
    return _sealed(COMMAND_HEADER + body)


def encode_reply(reply: Reply) -> bytes:
    """What a motor answers: values held within their fields, as its firmware does."""
    body = _REPLY.pack(
        reply.motor | reply.mode << 4,
        round(min(max(reply.torque * _TORQUE, -32767.0), 32767.0)),
        round(min(max(reply.velocity * _SPEED, -32767.0), 32767.0)),
        _steps(reply.position, _POSITION, -(2**31) + 1, 2**31 - 1),
        reply.celsius,
        reply.error | reply.force << 3,
    )
    return _sealed(REPLY_HEADER + body)


def _steps(value: float, scale: float, low: int, high: int) -> int:
    if not low <= value * scale <= high:
        raise ValueError(f"{value} does not fit {low / scale:g} .. {high / scale:g}")
    return round(value * scale)


def _sealed(body: bytes) -> bytes:
    return body + struct.pack("<H", crc_ccitt(body))


def _sound(raw: bytes) -> bool:
    return crc_ccitt(raw[:-2]) == raw[-2] | raw[-1] << 8
