"""How much of each bus's time the robot file asks for: worst-case frames, command and reply.

CAN: a frame of n bytes is 47 + 8n bits, 67 + 8n with a long id, and a stuff bit for every four of
those that may need one (ISO 11898-1). CAN FD at 1 and 5 Mb/s: about 39 µs and 2 µs a byte. Serial:
ten bits a byte, bytes of each family's packets.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from neon_edge.config import CanBus, Joint, RobotConfig, SerialBus
from neon_edge.runtime.doctor.check import Check, Outcome

COMFORTABLE = 0.7
"""Above this share, retries and other nodes' frames no longer fit."""


class CanFrames(NamedTuple):
    """Frames a tick of one motor: bytes of command and reply, long ids, always FD."""

    sizes: tuple[int, ...]
    extended: bool = False
    fd: bool = False


class SerialPackets(NamedTuple):
    """Bytes a tick: once a bus, once a motor; and how long each motor takes to turn around."""

    fixed: int
    each: int
    turnaround_us: float = 0.0


CAN_FAMILIES = {
    "damiao": CanFrames((8, 8)),
    "robstride": CanFrames((8, 8), extended=True),
    "odrive": CanFrames((8, 8, 8)),
    "moteus": CanFrames((24, 24), extended=True, fd=True),
    "cia402": CanFrames((8, 8)),
}
SERIAL_FAMILIES = {
    # Sync write of four bytes and sync read of ten: 14 + 5n, 14 + n, and 21 a reply.
    "dynamixel": SerialPackets(28, 27, 20.0),
    # Sync write of two bytes and sync read of eight: 8 + 3n, 8 + n, and 14 a reply.
    "feetech": SerialPackets(16, 18),
    "unitree": SerialPackets(0, 33, 100.0),
}
FAST_DYNAMIXEL = SerialPackets(36, 20)
"""One long reply instead of one a servo: 8 + 14n."""


def family(joint: Joint) -> str:
    """The motor family's name, as the robot file has it."""
    return str(type(joint.motor).__struct_config__.tag)


def can_seconds(bus: CanBus, frames: CanFrames) -> float:
    """Of one motor's frames in a tick, worst case."""
    if bus.fd or frames.fd:
        short_id = 39.0 if not frames.extended else 62.0
        nominal = (short_id - 9.0) * 1e6 / bus.bit_rate
        return sum(nominal + 9.0 + 2.0 * size for size in frames.sizes) / 1e6
    fixed, stuffed = (67, 54) if frames.extended else (47, 34)
    bits = sum(fixed + 8 * n + (stuffed + 8 * n - 1) // 4 for n in frames.sizes)
    return bits / bus.bit_rate


def bus_seconds(robot: RobotConfig, bus: CanBus | SerialBus) -> float:
    """Of all frames of one tick on `bus`."""
    joints = [joint for joint in robot.joints if joint.bus == bus.name]
    if isinstance(bus, CanBus):
        known = [CAN_FAMILIES[name] for j in joints if (name := family(j)) in CAN_FAMILIES]
        return sum(can_seconds(bus, frames) for frames in known)
    seconds = 0.0
    for name in sorted({family(joint) for joint in joints}):
        packets = SERIAL_FAMILIES.get(name)
        if packets is None:
            continue
        if name == "dynamixel" and bus.fast_sync_read:
            packets = FAST_DYNAMIXEL
        count = sum(family(joint) == name for joint in joints)
        bits = 10 * (packets.fixed + packets.each * count)
        seconds += bits / bus.baud + count * packets.turnaround_us / 1e6
    return seconds


def bus_load(robot: RobotConfig) -> Iterator[Check]:
    """One row a bus; what cannot fit fails, and says what would."""
    for bus in robot.buses:
        joints = [joint for joint in robot.joints if joint.bus == bus.name]
        if not joints:
            continue
        seconds = bus_seconds(robot, bus)
        if not seconds:
            names = ", ".join(sorted({family(joint) for joint in joints}))
            yield Check(f"bus {bus.name} load", "warning", f"not known for {names}")
            continue
        load = seconds * robot.rate_hz
        found = f"{load:.0%} of the time: {len(joints)} joints at {robot.rate_hz:g} Hz"
        if load <= COMFORTABLE:
            yield Check(f"bus {bus.name} load", "ok", found)
        else:
            outcome: Outcome = "failed" if load > 1 else "warning"
            fix = _what_fits(robot, bus, load, seconds)
            yield Check(f"bus {bus.name} load", outcome, found, fix)


def _what_fits(robot: RobotConfig, bus: CanBus | SerialBus, load: float, seconds: float) -> str:
    joints = sum(joint.bus == bus.name for joint in robot.joints)
    ways = [
        f"rate_hz = {int(COMFORTABLE / seconds)}",
        f"{int(load / COMFORTABLE) + 1} buses of {int(joints * COMFORTABLE / load)} joints",
    ]
    other = _quicker(bus)
    if other is not None:
        quicker = bus_seconds(robot, other[1]) * robot.rate_hz
        ways.append(f"{other[0]} ({quicker:.0%})")
    return " or ".join(ways)


def _quicker(bus: CanBus | SerialBus) -> tuple[str, CanBus | SerialBus] | None:
    if isinstance(bus, CanBus):
        if bus.fd:
            return None
        return "CAN FD, where the motors can", msgspec.structs.replace(bus, fd=True)
    if bus.baud >= 4_000_000:
        return None
    return "4 Mbaud, where the motors can", msgspec.structs.replace(bus, baud=4_000_000)
