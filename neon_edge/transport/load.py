"""How much of a bus a robot file's ticks take, worst case, and what would fit where it does not.

A stuff bit follows five equal bits and may itself be the first of the next five, so n bits carry at
most (n - 1) / 4 of them. Classic frames: Tindell and Burns 1994; FD: ISO 11898-1:2015.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from neon_edge.config import (
    Bus,
    CanBus,
    Cia402Motor,
    DynamixelMotor,
    FeetechMotor,
    Joint,
    MoteusMotor,
    OdriveMotor,
    RobotConfig,
    RobstrideMotor,
    SerialBus,
    UnitreeMotor,
)
from neon_edge.errors import ConfigWrong
from neon_edge.transport.turns import TURNS_SHARE

LIMIT = 0.7
"""Above this a bus has no room for a retransmission, or for a tick that comes late."""
FD_DATA_RATE = 5_000_000
ANSWER_S = 20e-6
"""A servo's pause before its answer, its return delay at 0."""
UNITREE_ANSWER_S = 100e-6
DYNAMIXEL_LOOK, STS_LOOK, SCS_LOOK = 14 + 18, 8 + 16, 8 + 7
"""Bytes of the question a tick that goes round the servos, and of its answer (`rounds.py`)."""


class BusLoad(NamedTuple):
    """One bus: seconds of wire a tick, the share of a tick that is, and the fastest rate, Hz."""

    bus: str
    tick_s: float
    share: float
    rate_max_hz: float


def can_bits(payload: int, *, extended: bool = False) -> int:
    """Bits of a classic frame with the gap after it, every stuff bit that can be."""
    body, stuffed = (67, 54) if extended else (47, 34)
    return body + 8 * payload + (stuffed + 8 * payload - 1) // 4


def can_fd_s(payload: int, bit_rate: int, *, extended: bool = False) -> float:
    """Seconds of an FD frame with bit-rate switch, every stuff bit that can be."""
    arbitration = 36 if extended else 17
    slow = arbitration + (arbitration - 1) // 4 + 13
    crc, fixed = (17, 6) if payload <= 16 else (21, 7)
    fields = 5 + 8 * payload
    fast = fields + fields // 4 + 4 + crc + fixed
    return slow / bit_rate + fast / FD_DATA_RATE


def tick_s(bus: Bus, joints: Sequence[Joint]) -> float:
    """Seconds of wire that one command and one state of every joint take."""
    if not joints:
        return 0.0
    if isinstance(bus, CanBus):
        return sum(_can_s(bus, joint) for joint in joints) + _shared_s(bus, joints[0])
    return _line_s(bus, joints)


def _line_s(bus: SerialBus, joints: Sequence[Joint]) -> float:
    """Bytes of goals, of the question and of the answers, and the pauses before those."""
    motor, n = joints[0].motor, len(joints)
    pauses_s = (n + 1) * ANSWER_S
    match motor:
        case DynamixelMotor() if bus.fast_sync_read:
            count, pauses_s = (14 + 5 * n) + (14 + n) + (8 + 14 * n) + DYNAMIXEL_LOOK, 2 * ANSWER_S
        case DynamixelMotor():
            count = (14 + 5 * n) + (14 + n) + 21 * n + DYNAMIXEL_LOOK
        case FeetechMotor(series="scs"):
            count = (8 + 3 * n) + 8 * n + 12 * n + SCS_LOOK
        case FeetechMotor():
            count = (8 + 3 * n) + (8 + n) + 12 * n + STS_LOOK
        case UnitreeMotor():
            count, pauses_s = (17 + 16) * n, n * UNITREE_ANSWER_S
        case _:
            raise ConfigWrong(
                f"bus {bus.name!r} cannot carry its motors",
                f"a {motor.__struct_config__.tag} motor on a serial line",
                "put it on a CAN bus",
            )
    return count * 10 / bus.baud + pauses_s


def _can_s(bus: CanBus, joint: Joint) -> float:
    match joint.motor:
        case MoteusMotor():
            sent, heard = (can_fd_s(n, bus.bit_rate, extended=True) for n in (32, 20))
            return sent + heard
        case RobstrideMotor():
            bits = 2 * can_bits(8, extended=True)
        case OdriveMotor():
            # The goal, two remote frames, their two answers; what it says unasked counts below.
            bits = 3 * can_bits(8) + 2 * can_bits(0)
        case Cia402Motor():
            bits = 2 * can_bits(8) + can_bits(4)
        case _:
            if bus.fd:
                return 2 * can_fd_s(8, bus.bit_rate)
            bits = 2 * can_bits(8)
    return bits / bus.bit_rate


def _shared_s(bus: CanBus, joint: Joint) -> float:
    """Heartbeat and SYNC of a CANopen bus."""
    is_canopen = isinstance(joint.motor, Cia402Motor)
    return (can_bits(1) + can_bits(0)) / bus.bit_rate if is_canopen else 0.0


def unasked_share(bus: Bus, joints: Sequence[Joint]) -> float:
    """What motors say on their own: an ODrive's estimates each 10 ms, its heartbeat each 100."""
    axes = sum(isinstance(joint.motor, OdriveMotor) for joint in joints)
    return axes * can_bits(8) * 110 / bus.bit_rate if isinstance(bus, CanBus) else 0.0


def _limit(joints: Sequence[Joint]) -> float:
    """Motors that are asked one by one have no more of a tick than it waits for them."""
    motor = joints[0].motor if joints else None
    in_turn = isinstance(motor, UnitreeMotor) or (
        isinstance(motor, FeetechMotor) and motor.series == "scs"
    )
    return TURNS_SHARE if in_turn else LIMIT


def bus_loads(robot: RobotConfig) -> list[BusLoad]:
    """Every bus of a robot file, in its order."""
    loads = []
    for bus in robot.buses:
        joints = [joint for joint in robot.joints if joint.bus == bus.name]
        each_s, unasked = tick_s(bus, joints), unasked_share(bus, joints)
        rate_max_hz = (_limit(joints) - unasked) / each_s if each_s else math.inf
        loads.append(BusLoad(bus.name, each_s, each_s * robot.rate_hz + unasked, rate_max_hz))
    return loads


def check_load(robot: RobotConfig) -> None:
    """Raises `ConfigWrong` for the first bus that cannot carry its joints, naming what would."""
    for bus, load in zip(robot.buses, bus_loads(robot), strict=True):
        limit = _limit([joint for joint in robot.joints if joint.bus == bus.name])
        if load.share > limit:
            raise ConfigWrong(
                f"bus {bus.name!r} cannot carry its joints at {robot.rate_hz:g} Hz",
                f"worst case {load.share:.0%} of the wire, at most {limit:.0%} is safe",
                f"any of: {'; '.join(_what_would_fit(robot, bus, load))}",
            )


def _what_would_fit(robot: RobotConfig, bus: Bus, load: BusLoad) -> list[str]:
    ways = [f"rate_hz = {math.floor(max(load.rate_max_hz, 1)):d}"]
    joints = [joint for joint in robot.joints if joint.bus == bus.name]
    for buses in range(2, len(joints) + 1):
        part = joints[: math.ceil(len(joints) / buses)]
        if tick_s(bus, part) * robot.rate_hz + unasked_share(bus, part) <= _limit(part):
            ways.append(f"the joints over {buses} such buses")
            break
    faster = (
        msgspec.structs.replace(bus, fd=True)
        if isinstance(bus, CanBus)
        else msgspec.structs.replace(bus, baud=4_000_000)
    )
    if faster != bus and tick_s(faster, joints) * robot.rate_hz <= _limit(joints):
        ways.append(
            "fd = true, where the motors know CAN FD"
            if bus.__struct_config__.tag == "can"
            else "baud = 4000000, where the servos know it"
        )
    return ways
