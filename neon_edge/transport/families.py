"""Which chain drives which family, and on which kind of bus: the one table to add a family to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from neon_edge.clock import Clock
from neon_edge.config import Bus as BusConfig
from neon_edge.config import (
    CanBus,
    Cia402Motor,
    DamiaoMotor,
    DynamixelMotor,
    FeetechMotor,
    MoteusMotor,
    Motor,
    OdriveMotor,
    RobstrideMotor,
    SerialBus,
    UnitreeMotor,
)
from neon_edge.errors import ConfigWrong
from neon_edge.transport.bus import Bus
from neon_edge.transport.can_chain import CanChain, Dialect
from neon_edge.transport.chain import Chain, JointCounters, Placed
from neon_edge.transport.exchange import CanExchange
from neon_edge.transport.flexible import FlexibleBus

M = TypeVar("M", bound=Motor)


def make_chain(
    config: BusConfig,
    bus: Bus,
    placed: Sequence[Placed],
    counters: JointCounters,
    clock: Clock,
    rate_hz: float,
) -> Chain:
    """The chain for the motors of one bus. Raises `ConfigWrong` where they do not fit it."""
    if isinstance(config, SerialBus):
        return _serial_chain(config, bus, placed, counters, clock, rate_hz)
    wire = FlexibleBus(bus) if config.fd else bus

    def note(place: int, words: str) -> None:
        counters.told[placed[place].place] = words

    exchange = CanExchange(wire, [p.joint for p in placed], clock, note)
    dialect = _dialect(config, exchange, placed, rate_hz)
    return _block_chain(bus, placed, counters, clock, dialect) or CanChain(
        wire, placed, counters, clock, dialect
    )


def _block_chain(
    bus: Bus, placed: Sequence[Placed], counters: JointCounters, clock: Clock, dialect: Dialect
) -> Chain | None:
    """For the pairs of bus and family that have one."""
    from neon_edge.transport.can import CanSocket
    from neon_edge.transport.damiao_dialect import DamiaoDialect

    if not (isinstance(bus, CanSocket) and isinstance(dialect, DamiaoDialect)):
        return None
    from neon_edge.transport.damiao_block import DamiaoBlockChain

    return DamiaoBlockChain(bus, placed, counters, clock, dialect)


def _serial_chain(
    config: SerialBus,
    bus: Bus,
    placed: Sequence[Placed],
    counters: JointCounters,
    clock: Clock,
    rate_hz: float,
) -> Chain:
    match placed[0].joint.motor:
        case DynamixelMotor():
            from neon_edge.transport.dynamixel_chain import DynamixelChain

            motors = _all(DynamixelMotor, config, placed)
            fast = config.fast_sync_read
            return DynamixelChain(bus, placed, motors, counters, clock, config.baud, fast=fast)
        case FeetechMotor():
            from neon_edge.transport.feetech_chain import FeetechChain

            servos = _all(FeetechMotor, config, placed)
            return FeetechChain(bus, placed, servos, counters, clock, config.baud)
        case UnitreeMotor():
            from neon_edge.transport.unitree_chain import UnitreeChain

            rotors = _all(UnitreeMotor, config, placed)
            return UnitreeChain(bus, placed, rotors, counters, clock, config.baud, rate_hz)
        case _:
            raise _misplaced(config, placed[0])


def _dialect(
    config: CanBus, exchange: CanExchange, placed: Sequence[Placed], rate_hz: float
) -> Dialect:
    match placed[0].joint.motor:
        case DamiaoMotor():
            from neon_edge.transport.damiao_dialect import DamiaoDialect

            return DamiaoDialect(exchange, _all(DamiaoMotor, config, placed))
        case RobstrideMotor() if not config.fd:
            from neon_edge.transport.robstride_dialect import RobstrideDialect

            return RobstrideDialect(exchange, _all(RobstrideMotor, config, placed))
        case OdriveMotor() if not config.fd:
            from neon_edge.transport.odrive_dialect import OdriveDialect

            return OdriveDialect(exchange, _all(OdriveMotor, config, placed))
        case MoteusMotor() if config.fd:
            from neon_edge.transport.moteus_dialect import MoteusDialect

            return MoteusDialect(exchange, _all(MoteusMotor, config, placed))
        case Cia402Motor() if not config.fd:
            from neon_edge.transport.cia402_dialect import Cia402Dialect

            return Cia402Dialect(exchange, _all(Cia402Motor, config, placed), rate_hz)
        case _:
            raise _misplaced(config, placed[0])


def _all(family: type[M], config: BusConfig, placed: Sequence[Placed]) -> list[M]:
    motors: list[M] = []
    for p in placed:
        if not isinstance(p.joint.motor, family):
            raise _misplaced(config, p)
        motors.append(p.joint.motor)
    return motors


def _misplaced(config: BusConfig, placed: Placed) -> ConfigWrong:
    kind = config.__struct_config__.tag
    return ConfigWrong(
        f"joint {placed.joint.name!r} is on a bus that cannot carry its motor",
        f"a {placed.joint.motor.__struct_config__.tag} motor on the {kind} bus {config.name!r}",
        "one bus carries one family: on CAN damiao, robstride, odrive, cia402; where fd = true "
        "damiao and moteus; on serial lines dynamixel, feetech, unitree",
    )
