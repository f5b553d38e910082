"""RobStride and CyberGear motors, private protocol: extended ids, eight bytes. Pure functions.

    id        type 5 | field 16 | target 8
    operate   type 1, field = torque u16    | position | velocity | kp | kd |    u16, big-endian
    state     type 2, field = mode 2, faults 6, motor 8; target = host
                                            | position | velocity | torque | °C · 10 |
    parameter type 17 read, 18 write        | index u16 | 0 0 | value 4 |        little-endian

Values are truncated onto their steps, as everyone else's are. Each model has its own ranges, gains
included: kp meant for 500 is ten times as stiff on a motor that decodes it against 5000.
Sources: robstride-dynamics 0.0.1 (checked against it in the tests), Seeed wiki, LeRobot
motors/robstride; CyberGear's ranges: blanck/cybergear, project-sternbergia/cybergear_m5.
"""

from __future__ import annotations

import math
import struct
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from neon_edge.types import BusFrame, Float64

WATCHDOG_PER_MS = 20
"""Parameter CAN_TIMEOUT counts 50 µs."""
OPERATION_MODE = 0
MODE_RESET, MODE_CALIBRATING, MODE_RUNNING = 0, 1, 2
STEPS = 65535


class Kind(IntEnum):
    """The five highest bits of an id."""

    GET_ID = 0
    OPERATE = 1
    STATE = 2
    ENABLE = 3
    DISABLE = 4
    READ = 17
    WRITE = 18


class Parameter(IntEnum):
    """The parameters we touch. Saving them to flash wears it and is never done here."""

    RUN_MODE = 0x7005
    TORQUE_LIMIT = 0x700B
    CAN_TIMEOUT = 0x7028


_FORMATS = {
    Parameter.RUN_MODE: "<B",
    Parameter.TORQUE_LIMIT: "<f",
    Parameter.CAN_TIMEOUT: "<I",
}


class Ranges(NamedTuple):
    """What full scale means to one model: rad, rad/s, N·m/rad, N·m·s/rad, N·m."""

    position: float
    velocity: float
    kp: float
    kd: float
    torque: float


MODELS = {
    "rs00": Ranges(4 * math.pi, 50.0, 500.0, 5.0, 17.0),
    "rs01": Ranges(4 * math.pi, 44.0, 500.0, 5.0, 17.0),
    "rs02": Ranges(4 * math.pi, 44.0, 500.0, 5.0, 17.0),
    "rs03": Ranges(4 * math.pi, 50.0, 5000.0, 100.0, 60.0),
    "rs04": Ranges(4 * math.pi, 15.0, 5000.0, 100.0, 120.0),
    "rs05": Ranges(4 * math.pi, 33.0, 500.0, 5.0, 17.0),
    "rs06": Ranges(4 * math.pi, 20.0, 5000.0, 100.0, 60.0),
    "cybergear": Ranges(12.5, 30.0, 500.0, 5.0, 12.0),
}


class State(NamedTuple):
    """One state frame in SI units; `faults` are the six bits, under-voltage lowest."""

    motor: int
    mode: int
    faults: int
    position: float
    velocity: float
    torque: float
    celsius: float


class Address(NamedTuple):
    """A taken-apart id."""

    kind: int
    field: int
    target: int


def address(kind: int, field: int, target: int) -> int:
    """The 29-bit id. Raises `ValueError` for what does not fit."""
    if not (0 <= kind < 32 and 0 <= field <= 0xFFFF and 0 <= target <= 0xFF):
        raise ValueError(f"type {kind}, field {field}, target {target}")
    return kind << 24 | field << 8 | target


def split(arbitration_id: int) -> Address:
    """Type, field and target of an id."""
    return Address(arbitration_id >> 24 & 0x1F, arbitration_id >> 8 & 0xFFFF, arbitration_id & 0xFF)


def simple(kind: Kind, host: int, motor: int, first: int = 0) -> BusFrame:
    """GET_ID, ENABLE or DISABLE (`first` 1 clears faults): a frame that carries nothing else."""
    return BusFrame(address(kind, host, motor), bytes((first,)).ljust(8, b"\0"), True)


def read_parameter(host: int, motor: int, parameter: int) -> BusFrame:
    """Ask for a parameter; the reply has type 17, the motor in its field and the host as target."""
    payload = struct.pack("<HHI", parameter, 0, 0)
    return BusFrame(address(Kind.READ, host, motor), payload, True)


def write_parameter(host: int, motor: int, parameter: Parameter, value: float) -> BusFrame:
    """Set a parameter until power goes; answered by a state frame."""
    payload = struct.pack("<HH", parameter, 0) + pack_value(parameter, value)
    return BusFrame(address(Kind.WRITE, host, motor), payload, True)


def pack_value(parameter: int, value: float) -> bytes:
    """A parameter's four bytes. Raises `ValueError` for what its type cannot hold."""
    kind = _FORMATS[Parameter(parameter)]
    try:
        whole = value if kind == "<f" else int(value)
        if not math.isfinite(value) or whole != value:
            raise ValueError(f"parameter {parameter:#x} cannot be {value}")
        packed = struct.pack(kind, whole)
    except (struct.error, OverflowError) as failure:
        raise ValueError(f"parameter {parameter:#x} cannot be {value}") from failure
    return packed.ljust(4, b"\0")


def unpack_value(parameter: int, values: bytes) -> float:
    """The number in a parameter's four bytes."""
    return float(struct.unpack_from(_FORMATS[Parameter(parameter)], values)[0])


def decode_parameter(frame: BusFrame) -> tuple[int, int, bytes] | None:
    """Motor, parameter and its four bytes from a reply to `read_parameter`, or None."""
    where = split(frame.arbitration_id)
    if not frame.extended or where.kind != Kind.READ or len(frame.payload) != 8:
        return None
    return where.field & 0xFF, int.from_bytes(frame.payload[:2], "little"), frame.payload[4:]


def encode_state(ranges: Ranges, state: State, host: int) -> BusFrame:
    """What a motor answers: values held within its ranges, as its firmware does."""
    field = state.mode << 14 | state.faults << 8 | state.motor
    spans = (ranges.position, ranges.velocity, ranges.torque)
    values = (state.position, state.velocity, state.torque)
    words = [
        int((min(max(value, -span), span) + span) / (2 * span) * STEPS)
        for value, span in zip(values, spans, strict=True)
    ]
    payload = struct.pack(">HHHH", *words, round(state.celsius * 10))
    return BusFrame(address(Kind.STATE, field, host), payload, True)


def decode_state(ranges: Ranges, frame: BusFrame) -> State | None:
    """A state frame's content, or None where the frame is another."""
    where = split(frame.arbitration_id)
    if not frame.extended or where.kind != Kind.STATE or len(frame.payload) != 8:
        return None
    position, velocity, torque, heat = struct.unpack(">HHHH", frame.payload)
    return State(
        where.field & 0xFF,
        where.field >> 14,
        where.field >> 8 & 0x3F,
        (position / STEPS * 2 - 1) * ranges.position,
        (velocity / STEPS * 2 - 1) * ranges.velocity,
        (torque / STEPS * 2 - 1) * ranges.torque,
        heat / 10,
    )


def decode_command(ranges: Ranges, frame: BusFrame) -> tuple[float, float, float, float, float]:
    """Position, velocity, kp, kd, torque: what the motor understands of an OPERATE frame."""
    position, velocity, kp, kd = struct.unpack(">HHHH", frame.payload)
    torque = split(frame.arbitration_id).field
    return (
        (position / STEPS * 2 - 1) * ranges.position,
        (velocity / STEPS * 2 - 1) * ranges.velocity,
        kp / STEPS * ranges.kp,
        kd / STEPS * ranges.kd,
        (torque / STEPS * 2 - 1) * ranges.torque,
    )


class CommandBatch:
    """The OPERATE frames of n motors. Rows: position, velocity, kp, kd, torque."""

    def __init__(self, motors: list[tuple[int, Ranges]]) -> None:
        self._ids = [motor for motor, _ in motors]
        self.high: Float64 = np.array([ranges for _, ranges in motors], np.float64).T.copy()
        self.low: Float64 = -self.high
        self.low[2:4] = 0.0
        self._span = self.high - self.low

    def encode(self, rows: Float64) -> list[BusFrame]:
        """Rows (5, n) in SI units at the motors. Raises `ValueError` for what does not fit."""
        if not bool(((rows >= self.low) & (rows <= self.high)).all()):
            raise ValueError(f"command outside the motors' ranges or not finite: {rows.tolist()}")
        words = ((rows - self.low) / self._span * STEPS).astype(np.uint16)
        packed = words[:4].T.astype(">u2").tobytes()
        return [
            BusFrame(Kind.OPERATE << 24 | torque << 8 | motor, packed[8 * k : 8 * k + 8], True)
            for k, (motor, torque) in enumerate(zip(self._ids, words[4].tolist(), strict=True))
        ]
