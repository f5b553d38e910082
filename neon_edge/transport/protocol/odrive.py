"""ODrive CANSimple: standard ids, node << 5 | command, little-endian. Pure functions.

    00 version    protocol u8 | hardware 3 u8 | firmware 3 u8 | unreleased u8 |
    01 heartbeat  error u32 | state u8 | procedure result u8 | trajectory done u8 |
    03 errors     active u32 | disarm reason u32 |          07 axis state  u32 |
    09 estimates  turns f32 | turns/s f32 |                 0B modes  control u32 | input u32 |
    0C input pos  turns f32 | turns/s · 1000 i16 | N·m · 1000 i16 |
    0D input vel  turns/s f32 | N·m f32 |                   0E input torque  N·m f32 |
    18 clear errors  identify u8 |                          1A position gain  f32 |
    1B velocity gains  f32 | integrator f32 |               1C torques  target f32 | estimate f32 |

Whatever an ODrive can send may also be asked for with a remote frame. Here positions are radians
at the rotor. Sources: docs.odriverobotics.com "CAN Protocol", firmware 0.6; ODriveResources
examples/can_simple.py.
"""

from __future__ import annotations

import math
import struct
from enum import IntEnum
from typing import NamedTuple

from neon_edge.types import BusFrame

HIGHEST_NODE = 62
"""63 addresses nodes that have no id yet."""
IDLE, CLOSED_LOOP = 1, 8
TORQUE_CONTROL, VELOCITY_CONTROL, POSITION_CONTROL = 1, 2, 3
PASSTHROUGH = 1
WATCHDOG_EXPIRED = 0x0100_0000
"""In the active errors: WATCHDOG_TIMER_EXPIRED."""
FEEDFORWARD_STEP = 0.001
VELOCITY_MAX = 32.767 * math.tau
TORQUE_MAX = 32.767
POSITION_MAX = 16384 * math.tau
"""Turns beyond this leave a float32 less than a thousandth of a turn."""
FLOAT32_MAX = 3.4028234663852886e38
MEASURABLE = 1e9
"""A number beyond this is not a measurement; scaled by a gear it could overflow a float32."""


class Command(IntEnum):
    """The low five bits of an id."""

    VERSION = 0x00
    HEARTBEAT = 0x01
    ESTOP = 0x02
    ERRORS = 0x03
    SET_STATE = 0x07
    ESTIMATES = 0x09
    SET_MODES = 0x0B
    INPUT_POSITION = 0x0C
    INPUT_VELOCITY = 0x0D
    INPUT_TORQUE = 0x0E
    LIMITS = 0x0F
    CLEAR_ERRORS = 0x18
    POSITION_GAIN = 0x1A
    VELOCITY_GAINS = 0x1B
    TORQUES = 0x1C


def frame(node: int, command: int, payload: bytes = b"") -> BusFrame:
    """One message. Raises `ValueError` for a node or a command that does not exist."""
    if not (0 <= node <= HIGHEST_NODE and 0 <= command < 32):
        raise ValueError(f"node {node}, command {command}")
    return BusFrame(node << 5 | command, payload)


def ask(node: int, command: int) -> BusFrame:
    """A remote frame: the node answers with that message."""
    return frame(node, command)._replace(remote=True)


def floats(node: int, command: int, *values: float) -> BusFrame:
    """A message of float32. Raises `ValueError` for what is not finite, or beyond a float32."""
    if not all(abs(value) <= FLOAT32_MAX for value in values):
        raise ValueError(f"not finite, or no float32: {values}")
    return frame(node, command, struct.pack(f"<{len(values)}f", *values))


def words(node: int, command: int, *values: int) -> BusFrame:
    """A message of u32: states, modes. Raises `ValueError` for what is none."""
    if not all(0 <= value <= 0xFFFF_FFFF for value in values):
        raise ValueError(f"not u32: {values}")
    return frame(node, command, struct.pack(f"<{len(values)}I", *values))


def input_position(node: int, position: float, velocity: float, torque: float) -> BusFrame:
    """A goal with feed-forward, rad, rad/s, N·m. Raises `ValueError` for what does not fit."""
    if not (
        abs(position) <= POSITION_MAX
        and abs(velocity) <= VELOCITY_MAX
        and abs(torque) <= TORQUE_MAX
    ):
        raise ValueError(f"{position} rad, {velocity} rad/s, {torque} N·m do not fit")
    payload = struct.pack(
        "<fhh",
        position / math.tau,
        round(velocity / math.tau / FEEDFORWARD_STEP),
        round(torque / FEEDFORWARD_STEP),
    )
    return BusFrame(node << 5 | Command.INPUT_POSITION, payload)


def decode_input_position(payload: bytes) -> tuple[float, float, float]:
    """What the node understands: rad, rad/s, N·m. Raises `ValueError` if it is not eight bytes."""
    if len(payload) != 8:
        raise ValueError(f"{len(payload)} bytes where 8 are expected")
    turns, speed, torque = struct.unpack("<fhh", payload)
    step = FEEDFORWARD_STEP
    return turns * math.tau, speed * step * math.tau, torque * step


def heartbeat(node: int, error: int, state: int) -> BusFrame:
    """What a node sends ten times a second."""
    return frame(node, Command.HEARTBEAT, struct.pack("<IBBBB", error, state, 0, 0, 0))


def decode_heartbeat(payload: bytes) -> tuple[int, int]:
    """Active errors and state. Raises `ValueError` for fewer than seven bytes."""
    if len(payload) < 7:
        raise ValueError(f"{len(payload)} bytes where 7 are expected")
    error, state = struct.unpack_from("<IB", payload)
    return error, state


class Version(NamedTuple):
    """What a node is, as people write it: "4.4.58" and "0.6.11"."""

    hardware: str
    firmware: str


def version(node: int, hardware: tuple[int, int, int], firmware: tuple[int, int, int]) -> BusFrame:
    """A node's answer to VERSION: protocol 2, product line, version, variant; firmware."""
    return frame(node, Command.VERSION, bytes((2, *hardware, *firmware, 0)))


def decode_version(payload: bytes) -> Version:
    """Hardware and firmware. Raises `ValueError` for a wrong length."""
    if len(payload) != 8:
        raise ValueError(f"{len(payload)} bytes where 8 are expected")
    unreleased = "-dev" if payload[7] else ""
    return Version(".".join(map(str, payload[1:4])), ".".join(map(str, payload[4:7])) + unreleased)


def decode_floats(payload: bytes) -> tuple[float, float]:
    """Two float32. Raises `ValueError` for a wrong length or what no axis can measure."""
    if len(payload) != 8:
        raise ValueError(f"{len(payload)} bytes where 8 are expected")
    first, second = struct.unpack("<ff", payload)
    if not (abs(first) <= MEASURABLE and abs(second) <= MEASURABLE):
        raise ValueError(f"not finite, or absurd: {first}, {second}")
    return first, second
