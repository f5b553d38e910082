"""The vendor header's bit fields, typed here as ctypes structures, and `crccheck`'s CRC.

The vendor's own library is binary and cannot be compared with, so the family stays unconfirmed.
"""

from __future__ import annotations

import ctypes
import math
import random

from crccheck.crc import CrcKermit

from neon_edge.transport.protocol import unitree
from neon_edge.transport.protocol.unitree import Command, CommandStream, Reply, ReplyStream

GEAR = 6.33


class ControlData(ctypes.LittleEndianStructure):
    _pack_ = 1
    _fields_ = (
        ("head", ctypes.c_uint8 * 2),
        ("id", ctypes.c_uint8, 4),
        ("status", ctypes.c_uint8, 3),
        ("reserve", ctypes.c_uint8, 1),
        ("tor_des", ctypes.c_int16),
        ("spd_des", ctypes.c_int16),
        ("pos_des", ctypes.c_int32),
        ("k_pos", ctypes.c_int16),
        ("k_spd", ctypes.c_int16),
        ("crc", ctypes.c_uint16),
    )


class MotorData(ctypes.LittleEndianStructure):
    _pack_ = 1
    _fields_ = (
        ("head", ctypes.c_uint8 * 2),
        ("id", ctypes.c_uint8, 4),
        ("status", ctypes.c_uint8, 3),
        ("reserve", ctypes.c_uint8, 1),
        ("torque", ctypes.c_int16),
        ("speed", ctypes.c_int16),
        ("pos", ctypes.c_int32),
        ("temp", ctypes.c_int8),
        ("error", ctypes.c_uint16, 3),
        ("force", ctypes.c_uint16, 12),
        ("none", ctypes.c_uint16, 1),
        ("crc", ctypes.c_uint16),
    )


def compare(count: int, seed: int) -> int:
    """At least `count` frames. Gives how many; an assertion fails on a difference."""
    draw = random.Random(seed)
    for done in range(0, count, 2):
        _command(draw)
        _reply(draw)
        assert done < count
    return count


def _command(draw: random.Random) -> None:
    asked = Command(
        draw.randrange(15),
        1,
        draw.uniform(-100, 100),
        draw.uniform(-20, 20),
        draw.uniform(0, 100),
        draw.uniform(0, 5),
        draw.uniform(-100, 100),
    )
    raw = unitree.encode_command(asked)
    seen = ControlData.from_buffer_copy(raw)
    assert (bytes(seen.head), seen.id, seen.status) == (b"\xfe\xee", asked.motor, 1)
    assert seen.crc == CrcKermit.calc(raw[:-2])
    # unitree_actuator_sdk: rotor side, q8, q15, gains over 25.6.
    assert seen.tor_des == round(asked.torque / GEAR * 256)
    assert seen.spd_des == round(asked.velocity * GEAR / math.tau * 256)
    assert seen.pos_des == round(asked.position * GEAR / math.tau * 32768)
    assert seen.k_pos == round(asked.kp / GEAR**2 / 25.6 * 32768)
    assert seen.k_spd == round(asked.kd / GEAR**2 / 25.6 * 32768)
    (heard,) = CommandStream().feed(raw)
    assert math.isclose(heard.position, asked.position, abs_tol=1e-4)


def _reply(draw: random.Random) -> None:
    made = MotorData()
    made.head[:] = (0xFD, 0xEE)
    made.id, made.status = draw.randrange(15), draw.randrange(2)
    made.torque, made.speed = draw.randrange(-32767, 32768), draw.randrange(-32767, 32768)
    made.pos, made.temp = draw.randrange(-(2**31) + 1, 2**31), draw.randrange(-128, 128)
    made.error, made.force = draw.randrange(5), draw.randrange(4096)
    made.crc = CrcKermit.calc(bytes(made)[:-2])
    (heard,) = ReplyStream().feed(bytes(made))
    assert (heard.motor, heard.mode, heard.celsius) == (made.id, made.status, made.temp)
    assert (heard.error, heard.force) == (made.error, made.force)
    assert math.isclose(heard.torque, made.torque / 256 * GEAR, abs_tol=1e-9)
    assert math.isclose(heard.velocity, made.speed / 256 * math.tau / GEAR, abs_tol=1e-9)
    assert math.isclose(heard.position, made.pos / 32768 * math.tau / GEAR, abs_tol=1e-6)
    back = unitree.encode_reply(Reply(*heard))
    assert back == bytes(made)
