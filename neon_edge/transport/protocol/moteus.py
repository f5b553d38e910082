"""moteus controllers on CAN FD: registers in sub-frames. Pure functions.

    id        source << 8 | destination, bit 15 of it asks for a reply; extended above 7FF
    payload   sub-frames, padded with 50 to a CAN FD length
    sub-frame 0T write, 1T read, 2T reply: T = type << 2 | count 1-3, or count 0 and its own byte;
              first register, values. Types: i8, i16, i32, f32.   30, 31 errors.
              40 to the console, 41 from it, 42 ask for it: channel, length, bytes

Integers count steps that depend on the register; the lowest integer stands for NaN. Positions on
the wire are turns of the output. Source: mjbots/moteus docs/reference.md; the tests compare with
its library.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from enum import IntEnum

from neon_edge.transport.protocol.socketcan import FD_LENGTHS
from neon_edge.types import BusFrame

REPLY_FLAG = 0x80
NOP = 0x50
CONSOLE = 1
"""The diagnostic channel."""
INT8, INT16, INT32, FLOAT = range(4)
WIDTHS = (1, 2, 4, 4)
_CODES = "bhif"
_LOWEST = (-128, -(2**15), -(2**31))

TIMEOUT_MAX = 32.767
POSITION_STEP = 1e-5
VELOCITY_STEP = 1e-5
TORQUE_STEP = 0.01
SCALE_STEP = 1 / 32767
TIME_STEP = 0.001
POSITION_MAX = (2**31 - 1) * POSITION_STEP * math.tau
VELOCITY_MAX = (2**31 - 1) * VELOCITY_STEP * math.tau
TORQUE_MAX = 32767 * TORQUE_STEP


class Register(IntEnum):
    """The registers we touch."""

    MODE = 0x000
    POSITION = 0x001
    VELOCITY = 0x002
    TORQUE = 0x003
    FAULT = 0x00F
    COMMAND_POSITION = 0x020
    COMMAND_VELOCITY = 0x021
    COMMAND_TORQUE = 0x022
    COMMAND_KP_SCALE = 0x023
    COMMAND_KD_SCALE = 0x024
    COMMAND_MAX_TORQUE = 0x025
    COMMAND_TIMEOUT = 0x027
    MODEL = 0x100
    FIRMWARE = 0x101


class Mode(IntEnum):
    """What MODE holds."""

    STOPPED = 0
    FAULT = 1
    POSITION = 10
    TIMEOUT = 11
    BRAKE = 15


STEPS = {
    Register.POSITION: (0.01, 0.0001, POSITION_STEP, 1.0),
    Register.VELOCITY: (0.1, 0.00025, VELOCITY_STEP, 1.0),
    Register.TORQUE: (0.5, 0.01, 0.001, 1.0),
    Register.COMMAND_POSITION: (0.01, 0.0001, POSITION_STEP, 1.0),
    Register.COMMAND_VELOCITY: (0.1, 0.00025, VELOCITY_STEP, 1.0),
    Register.COMMAND_TORQUE: (0.5, 0.01, 0.001, 1.0),
    Register.COMMAND_KP_SCALE: (1 / 127, SCALE_STEP, 1 / (2**31 - 1), 1.0),
    Register.COMMAND_KD_SCALE: (1 / 127, SCALE_STEP, 1 / (2**31 - 1), 1.0),
    Register.COMMAND_MAX_TORQUE: (0.5, 0.01, 0.001, 1.0),
    Register.COMMAND_TIMEOUT: (0.01, TIME_STEP, 1e-6, 1.0),
}
"""What one count of i8, i16, i32, f32 is worth, by register; 1 where nothing stands here."""

QUERY = bytes((0x18, 4, Register.MODE))
"""Read mode, position, velocity and torque as i32."""

_COMMAND = struct.Struct("<BBbBBiiBBBhhhhBBh")


def arbitration(motor: int, *, reply: bool) -> int:
    """The id of a frame from us (node 0) to `motor`."""
    if not 0 <= motor <= 127:
        raise ValueError(f"motor id {motor} is not in 0 .. 127")
    return (REPLY_FLAG << 8 if reply else 0) | motor


def frame(arbitration_id: int, payload: bytes) -> BusFrame:
    """A frame at the data rate, padded with NOPs to a length that CAN FD has.

    Raises `ValueError` beyond 64 bytes.
    """
    if len(payload) > FD_LENGTHS[-1]:
        raise ValueError(f"{len(payload)} bytes do not fit a frame")
    length = next(n for n in FD_LENGTHS if n >= len(payload))
    padded = payload.ljust(length, bytes((NOP,)))
    return BusFrame(arbitration_id, padded, arbitration_id > 0x7FF, True, True)


def command(
    motor: int,
    goal: tuple[float, float, float],
    scales: tuple[float, float],
    max_torque: float,
    timeout_s: float,
) -> BusFrame:
    """A position command and a query: 32 bytes.

    `goal` is rad, rad/s, N·m; `scales` multiply the controller's own kp and kd; after `timeout_s`
    of silence it times out. Raises `ValueError` for what is not finite or does not fit, and for a
    time-out that is none.
    """
    if not timeout_s >= TIME_STEP:
        raise ValueError(f"a time-out of {timeout_s} s")
    position, velocity, torque = goal
    body = _COMMAND.pack(
        0x01,
        Register.MODE,
        Mode.POSITION,
        0x0A,
        Register.COMMAND_POSITION,
        _count(position / math.tau, POSITION_STEP, INT32),
        _count(velocity / math.tau, VELOCITY_STEP, INT32),
        0x04,
        4,
        Register.COMMAND_TORQUE,
        *_impedance(torque, scales, max_torque),
        0x05,
        Register.COMMAND_TIMEOUT,
        _count(timeout_s, TIME_STEP, INT16),
    )
    return frame(arbitration(motor, reply=True), body + QUERY)


def _impedance(
    torque: float, scales: tuple[float, float], max_torque: float
) -> tuple[int, int, int, int]:
    kp_scale, kd_scale = scales
    if not (0 <= kp_scale <= 1 and 0 <= kd_scale <= 1 and max_torque >= 0):
        raise ValueError(f"scales {scales}, at most {max_torque} N·m")
    return (
        _count(torque, TORQUE_STEP, INT16),
        _count(kp_scale, SCALE_STEP, INT16),
        _count(kd_scale, SCALE_STEP, INT16),
        _count(max_torque, TORQUE_STEP, INT16),
    )


def _count(value: float, step: float, kind: int) -> int:
    # The lowest count means NaN, which to a moteus means "no limit" or "where you are".
    if not abs(value) <= -(_LOWEST[kind] + 1) * step:
        raise ValueError(f"{value} does not fit {-(_LOWEST[kind] + 1) * step:g}")
    return round(value / step)


def query(motor: int, registers: Sequence[int] = ()) -> BusFrame:
    """Ask for the state, or for single registers as i32."""
    body = b"".join(bytes((0x19, *varuint(register))) for register in registers) or QUERY
    return frame(arbitration(motor, reply=True), body)


def set_mode(motor: int, mode: Mode) -> BusFrame:
    """Change the mode and ask for the state: STOPPED clears faults and time-outs."""
    body = bytes((0x01, Register.MODE, mode)) + QUERY
    return frame(arbitration(motor, reply=True), body)


def console(motor: int, words: bytes) -> BusFrame:
    """Say something to the diagnostic console; nothing is answered until it is asked."""
    body = bytes((0x40, CONSOLE, len(words))) + words
    return frame(arbitration(motor, reply=False), body)


def ask_console(motor: int, most: int = 48) -> BusFrame:
    """Fetch what the console has to say."""
    return frame(arbitration(motor, reply=True), bytes((0x42, CONSOLE, most)))


def varuint(value: int) -> bytes:
    """Seven bits a byte, lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Parsed:
    """What a payload holds: values written or replied, registers asked for, console text."""

    def __init__(self) -> None:
        self.values: dict[int, float] = {}
        """Register to value in the wire's units; NaN where the controller says so."""
        self.asked: list[tuple[int, int]] = []
        """Register and type of every read."""
        self.console: bytes | None = None
        """Text to or from the console."""
        self.console_asked = 0
        """How many bytes the host takes at most; 0 where it does not ask."""


def parse(payload: bytes) -> Parsed:
    """Take a payload apart. Raises `ValueError` for one that is cut or makes no sense."""
    parsed = Parsed()
    place = 0
    try:
        while place < len(payload):
            place = _parse_one(payload, place, parsed)
    except (IndexError, struct.error) as failure:
        raise ValueError(f"cut short: {payload.hex(' ')}") from failure
    return parsed


def _parse_one(payload: bytes, place: int, parsed: Parsed) -> int:
    code = payload[place]
    place += 1
    if code == NOP:
        return place
    if code in (0x30, 0x31):
        raise ValueError(f"the controller reports an error: {payload.hex(' ')}")
    if code in (0x40, 0x41, 0x42):
        return _parse_console(code, payload, place, parsed)
    if code >= 0x30:
        raise ValueError(f"sub-frame {code:#04x} is not known")
    kind, count = code >> 2 & 3, code & 3
    if count == 0:
        count = payload[place]
        place += 1
    register, place = _varuint(payload, place)
    if code & 0x30 == 0x10:
        parsed.asked += [(register + k, kind) for k in range(count)]
        return place
    for k in range(count):
        (raw,) = struct.unpack_from("<" + _CODES[kind], payload, place)
        place += WIDTHS[kind]
        parsed.values[register + k] = _value(register + k, kind, raw)
    return place


def _value(register: int, kind: int, raw: float) -> float:
    if kind != FLOAT and raw == _LOWEST[kind]:
        return math.nan
    steps = STEPS.get(register)  # type: ignore[call-overload]
    return float(raw if steps is None else raw * steps[kind])


def _parse_console(code: int, payload: bytes, place: int, parsed: Parsed) -> int:
    channel, place = _varuint(payload, place)
    length, place = _varuint(payload, place)
    if channel != CONSOLE:
        raise ValueError(f"channel {channel} is not the console")
    if code == 0x42:
        parsed.console_asked = length
        return place
    if place + length > len(payload):
        raise ValueError(f"cut short: {payload.hex(' ')}")
    parsed.console = payload[place : place + length]
    return place + length


def _varuint(payload: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = payload[place]
        place += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, place
        if shift > 28:
            raise ValueError("a register number has no end")


def reply(values: Sequence[tuple[int, int, float]]) -> bytes:
    """What a controller answers: (register, type, value in the wire's units) each."""
    out = bytearray()
    for register, kind, value in values:
        out += bytes((0x20 | kind << 2 | 1,)) + varuint(register)
        if kind == FLOAT:
            out += struct.pack("<f", value)
            continue
        step = STEPS[Register(register)][kind] if register in STEPS else 1.0
        lowest = _LOWEST[kind]
        count = lowest if math.isnan(value) else round(value / step)
        out += struct.pack("<" + _CODES[kind], max(min(count, -lowest - 1), lowest))
    return bytes(out)
