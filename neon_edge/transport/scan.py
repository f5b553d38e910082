"""Who is on a bus: every id that a family can have is asked.

No question moves or enables a motor. One is a command all the same: a GO-M8010-6 answers nothing
else, so a Unitree scan sends LOCK, which takes the torque off and leaves the rotor braked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, NamedTuple, Protocol, TypeVar

from neon_edge.clock import Clock
from neon_edge.config import Bus as BusConfig
from neon_edge.config import SerialBus
from neon_edge.errors import UsageWrong
from neon_edge.transport.bus import Bus
from neon_edge.transport.protocol import (
    canopen,
    damiao,
    dynamixel,
    feetech,
    moteus,
    odrive,
    robstride,
    unitree,
)
from neon_edge.transport.protocol.dynamixel import Packet
from neon_edge.transport.protocol.dynamixel_stream import StreamParser
from neon_edge.transport.protocol.stream import PacketStream
from neon_edge.types import BusFrame

ANSWER_NS = 4_000_000
"""An id that has not answered by then is free: a USB adapter takes 1 ms each way."""
LAST_NS = 20_000_000
"""For what is still on its way when the last id has been asked: an adapter may hold it 16 ms."""
COMMANDING = ("unitree",)
"""Families whose question takes the torque off."""
HOST = 0xFD


class Found(NamedTuple):
    """A motor that answered."""

    id: int
    says: str


class Reader(Protocol):
    """What is understood of one scan's answers."""

    def hear(self, frame: BusFrame) -> list[Found]:
        """Who speaks in it."""

    def settle(self) -> list[Found]:
        """Once a question: who was hidden behind something that has not ended."""


class _Frames:
    """On CAN a frame is an answer, or none."""

    def __init__(self, read: Callable[[BusFrame], Found | None]) -> None:
        self._read = read

    def hear(self, frame: BusFrame) -> list[Found]:
        try:
            found = self._read(frame)
        except ValueError:
            return []
        return [] if found is None else [found]

    def settle(self) -> list[Found]:
        return []


P = TypeVar("P")


class _Pieces(Generic[P]):
    """Answers in a stream: one may come in several reads, or several in one."""

    def __init__(self, stream: PacketStream[P], read: Callable[[P], Found | None]) -> None:
        self._stream = stream
        self._read = read

    def hear(self, frame: BusFrame) -> list[Found]:
        return self._found(self._stream.feed(frame.payload))

    def settle(self) -> list[Found]:
        return self._found(self._stream.settle())

    def _found(self, packets: list[P]) -> list[Found]:
        return [found for found in map(self._read, packets) if found is not None]


def _damiao(frame: BusFrame) -> Found | None:
    answer = damiao.decode_register(frame.payload)
    if answer is None or answer.register != damiao.Register.MOTOR_ID:
        return None
    return Found(answer.motor, f"feedback on {frame.arbitration_id:#x}")


def _robstride(frame: BusFrame) -> Found | None:
    where = robstride.split(frame.arbitration_id)
    if not frame.extended or where.kind != robstride.Kind.GET_ID or where.target != 0xFE:
        return None
    return Found(where.field & 0xFF, f"serial {frame.payload.hex()}")


def _odrive(frame: BusFrame) -> Found | None:
    if frame.remote or frame.arbitration_id & 31 != odrive.Command.HEARTBEAT:
        return None
    error, state = odrive.decode_heartbeat(frame.payload)
    return Found(frame.arbitration_id >> 5, f"state {state}, errors {error:#x}")


def _moteus(frame: BusFrame) -> Found | None:
    values = moteus.parse(frame.payload).values
    mode = values.get(moteus.Register.MODE)
    return None if mode is None else Found(frame.arbitration_id >> 8 & 0x7F, f"mode {mode:g}")


def _cia402(frame: BusFrame) -> Found | None:
    if frame.arbitration_id & 0x780 != canopen.FROM_DRIVE:
        return None
    sdo = canopen.split_sdo(frame.payload)
    if sdo.entry != canopen.Entry.DEVICE_TYPE or sdo.command & 0xE0 != canopen.UPLOADED:
        return None
    kind = int.from_bytes(sdo.value, "little")
    return Found(frame.arbitration_id & 0x7F, f"device type {kind:#010x}")


def _dynamixel(packet: Packet) -> Found | None:
    if packet.instruction != dynamixel.Instruction.STATUS or len(packet.body) != 4:
        return None
    model = packet.body[1] | packet.body[2] << 8
    return Found(packet.servo, f"model {model}, firmware {packet.body[3]}")


def _feetech(packet: feetech.Packet) -> Found:
    return Found(packet.servo, f"errors {packet.word:#04x}")


def _unitree(reply: unitree.Reply) -> Found:
    return Found(reply.motor, f"mode {reply.mode}, {reply.celsius} °C, error {reply.error}")


def _serial(packets: Iterable[bytes]) -> list[BusFrame]:
    return [BusFrame(0, packet) for packet in packets]


def _ask_damiao() -> list[BusFrame]:
    register = damiao.Register.MOTOR_ID
    ids = range(1, 128)
    return [BusFrame(damiao.REGISTER_ID, damiao.read_register(i, register)) for i in ids]


def _ask_unitree() -> list[BusFrame]:
    locked = (unitree.encode_command(unitree.Command(i, unitree.LOCK)) for i in range(15))
    return _serial(locked)


QUESTIONS: dict[str, tuple[Callable[[], list[BusFrame]], Callable[[], Reader]]] = {
    "damiao": (_ask_damiao, lambda: _Frames(_damiao)),
    "robstride": (
        lambda: [robstride.simple(robstride.Kind.GET_ID, HOST, i) for i in range(1, 128)],
        lambda: _Frames(_robstride),
    ),
    "odrive": (
        lambda: [odrive.ask(i, odrive.Command.HEARTBEAT) for i in range(63)],
        lambda: _Frames(_odrive),
    ),
    "moteus": (lambda: [moteus.query(i) for i in range(1, 128)], lambda: _Frames(_moteus)),
    "cia402": (
        lambda: [canopen.upload(i, canopen.Entry.DEVICE_TYPE) for i in range(1, 127)],
        lambda: _Frames(_cia402),
    ),
    "dynamixel": (
        lambda: _serial(dynamixel.ping(i) for i in range(253)),
        lambda: _Pieces(StreamParser(), _dynamixel),
    ),
    "feetech": (
        lambda: _serial(feetech.ping(i) for i in range(254)),
        lambda: _Pieces(feetech.Stream(), _feetech),
    ),
    "unitree": (_ask_unitree, lambda: _Pieces(unitree.ReplyStream(), _unitree)),
}
"""By family: one question an id, and what reads the answers of one scan."""
SERIAL = ("dynamixel", "feetech", "unitree")
FD = ("damiao", "moteus")


def refuse_misplaced(config: BusConfig, family: str) -> None:
    """Raise `UsageWrong` for a family that does not exist, or that this bus cannot carry."""
    if family not in QUESTIONS:
        raise UsageWrong(
            f"no family called {family!r}", f"known: {', '.join(QUESTIONS)}", "name one of them"
        )
    kind, fits = "CAN", [name for name in QUESTIONS if name not in (*SERIAL, "moteus")]
    if isinstance(config, SerialBus):
        kind, fits = "serial", [*SERIAL]
    elif config.fd:
        kind, fits = "CAN FD", [*FD]
    if family not in fits:
        raise UsageWrong(
            f"bus {config.name!r} cannot carry {family} motors",
            f"it is a {kind} bus, for {', '.join(fits)}",
            "name another bus, or another family",
        )


def scan(bus: Bus, family: str, clock: Clock) -> list[Found]:
    """Everyone of one family on a bus that carries it, by id. Raises `BusFailed`."""
    ask, make_reader = QUESTIONS[family]
    reader, found = make_reader(), dict[int, Found]()
    for frame in ask():
        bus.send([frame])
        _listen(bus, reader, clock, ANSWER_NS, found, most=1)
    _listen(bus, reader, clock, LAST_NS, found)
    return [found[i] for i in sorted(found)]


def _listen(
    bus: Bus,
    reader: Reader,
    clock: Clock,
    patience_ns: int,
    found: dict[int, Found],
    most: int = 1 << 30,
) -> None:
    """Until so many new ones have answered, or the time is over."""
    known, deadline_ns = len(found), clock.now_ns() + patience_ns
    while len(found) - known < most and clock.now_ns() < deadline_ns:
        for frame in bus.receive_until(deadline_ns):
            found.update((one.id, one) for one in reader.hear(frame))
    found.update((one.id, one) for one in reader.settle())
