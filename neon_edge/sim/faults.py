"""What goes wrong on the wires and in the motors, from a TOML, with a seed.

seed = 7

[[wire]]                    # every message between host and motors, either way
bus = "left_leg"            # all buses where it is left out
way = "replies"             # "commands", "replies" or "both"
drop = 0.05                 # shares, 0 to 1
corrupt = 0.01
duplicate = 0.0
reorder = 0.0
delay_ms = 2.0              # added to a share `delay`
delay = 0.1
from_s = 1.0                # since the start; to_s for ever where it is left out

[[motor]]
joint = "left_knee"
what = "brown_out"          # "brown_out", "overheat", "cool"; on CAN "mute", "speak", "slow"
at_s = 3.0
delay_ms = 30.0             # of "slow", whose answers come so late, 0 ends it; of "brown_out", how
                            # long the motor takes to start again, 150 where it is left out

[[bus_off]]
bus = "left_leg"
at_s = 5.0                  # the controller reports it, then the bus is dead

Motors that already run take another file: write it over the first and send SIGHUP; its times then
count from there.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from neon_edge.config import CanBus, RobotConfig, decode_toml
from neon_edge.errors import ConfigWrong
from neon_edge.sim.motor import RESTART_NS, EmulatedMotor
from neon_edge.transport.protocol.socketcan import BUS_OFF, CLASSIC, ERROR_FLAG

Share = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[float, Meta(ge=0)]
REORDER_NS = 300_000
"""A message that is overtaken waits this long."""


class WireFaults(Struct, frozen=True, forbid_unknown_fields=True):
    """Shares of the messages that a wire mistreats."""

    bus: str = ""
    way: Literal["commands", "replies", "both"] = "both"
    drop: Share = 0.0
    corrupt: Share = 0.0
    duplicate: Share = 0.0
    reorder: Share = 0.0
    delay: Share = 0.0
    delay_ms: Seconds = 0.0
    from_s: Seconds = 0.0
    to_s: Seconds = 1e9


class MotorFault(Struct, frozen=True, forbid_unknown_fields=True):
    """What happens to one motor, once."""

    joint: str
    what: Literal["brown_out", "overheat", "cool", "mute", "speak", "slow"]
    at_s: Seconds
    delay_ms: Seconds = 0.0


class BusOff(Struct, frozen=True, forbid_unknown_fields=True):
    """A CAN controller that takes itself off the bus."""

    bus: str
    at_s: Seconds


class Faults(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    seed: int = 0
    wire: list[WireFaults] = []
    motor: list[MotorFault] = []
    bus_off: list[BusOff] = []


def load_faults(path: Path, robot: RobotConfig) -> Faults:
    """Read and check a file of faults. Raises `ConfigWrong` for what the robot does not have."""
    faults = decode_toml(path, Faults)
    check_faults(faults, robot)
    return faults


def check_faults(faults: Faults, robot: RobotConfig) -> None:
    """Raises `ConfigWrong` where a fault names what the robot does not have."""
    buses = {bus.name for bus in robot.buses}
    can = {bus.name for bus in robot.buses if isinstance(bus, CanBus)}
    named = [(wire.bus, buses) for wire in faults.wire if wire.bus]
    named += [(off.bus, can) for off in faults.bus_off]
    named += [(motor.joint, set(robot.joint_names)) for motor in faults.motor]
    for name, known in named:
        if name not in known:
            raise ConfigWrong(
                f"a fault is for {name!r}, which this robot does not have",
                f"known: {', '.join(sorted(known))}",
                "name one of them",
            )
    voice = {motor.joint for motor in faults.motor if motor.what in ("mute", "speak", "slow")}
    for joint in robot.joints:
        if joint.name in voice and joint.bus not in can:
            raise ConfigWrong(
                f"joint {joint.name!r} cannot fall silent or slow alone",
                f"its bus {joint.bus!r} is serial: its motors take turns",
                "drop or delay messages of the whole bus instead: [[wire]]",
            )


class FaultyWire:
    """One bus's faults; every choice comes from its own seeded generator."""

    def __init__(self, bus: str, faults: Faults, *, can: bool, start_ns: int) -> None:
        self._draw = random.Random(f"{faults.seed} {bus}")
        self._wires = [wire for wire in faults.wire if wire.bus in ("", bus)]
        self._off_ns = [start_ns + int(off.at_s * 1e9) for off in faults.bus_off if off.bus == bus]
        self._start_ns = start_ns
        self._can = can
        self._reported = False

    def mistreat(self, raw: bytes, now_ns: int, *, inbound: bool) -> list[tuple[int, bytes]]:
        """What becomes of a message: extra delay, ns, and bytes, of each that passes."""
        if any(now_ns >= off_ns for off_ns in self._off_ns):
            return []
        passing = [(0, raw)]
        for wire in self._wires:
            if self._applies(wire, now_ns, inbound):
                passing = [kept for one in passing for kept in self._one(wire, one)]
        return passing

    def report(self, now_ns: int) -> bytes | None:
        """The error frame of a bus that has just gone off."""
        if self._reported or not any(now_ns >= off_ns for off_ns in self._off_ns):
            return None
        self._reported = True
        return CLASSIC.pack(ERROR_FLAG | BUS_OFF, 8, bytes(8))

    def _applies(self, wire: WireFaults, now_ns: int, inbound: bool) -> bool:
        since_s = (now_ns - self._start_ns) / 1e9
        ways = ("both", "commands" if inbound else "replies")
        return wire.way in ways and wire.from_s <= since_s < wire.to_s

    def _one(self, wire: WireFaults, message: tuple[int, bytes]) -> list[tuple[int, bytes]]:
        late_ns, raw = message
        chance = self._draw.random
        if chance() < wire.drop:
            return []
        if chance() < wire.corrupt:
            if self._can:
                # A frame with a wrong CRC is not received: the controller drops it.
                return []
            raw = self._flipped(raw)
        if chance() < wire.reorder:
            late_ns += REORDER_NS
        if chance() < wire.delay:
            late_ns += int(wire.delay_ms * 1e6)
        twice = chance() < wire.duplicate
        return [(late_ns, raw)] * (2 if twice else 1)

    def _flipped(self, raw: bytes) -> bytes:
        place = self._draw.randrange(len(raw) * 8)
        changed = bytearray(raw)
        changed[place // 8] ^= 1 << place % 8
        return bytes(changed)


class MotorFaults:
    """The faults of motors that are still to come."""

    def __init__(
        self,
        faults: Faults,
        robot: RobotConfig,
        motors: Sequence[EmulatedMotor],
        start_ns: int,
    ) -> None:
        named = dict(zip(robot.joint_names, motors, strict=True))
        self._coming = sorted(
            ((start_ns + int(f.at_s * 1e9), f, named[f.joint]) for f in faults.motor),
            key=lambda fault: fault[0],
        )

    def strike(self, now_ns: int) -> None:
        """Let everything due happen."""
        while self._coming and self._coming[0][0] <= now_ns:
            _, fault, motor = self._coming.pop(0)
            _strike(motor, fault)


def _strike(motor: EmulatedMotor, fault: MotorFault) -> None:
    match fault.what:
        case "brown_out":
            motor.brown_out(int(fault.delay_ms * 1e6) or RESTART_NS)
        case "overheat" | "cool":
            motor.overheat(fault.what == "overheat")
        case "mute" | "speak":
            motor.mute = fault.what == "mute"
        case "slow":
            motor.late_ns = int(fault.delay_ms * 1e6)
