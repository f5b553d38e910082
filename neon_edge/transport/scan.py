"""Who is on a bus: every id that a family can have is asked, and nothing is commanded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from neon_edge.clock import Clock
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
from neon_edge.transport.protocol.dynamixel_stream import StreamParser
from neon_edge.types import BusFrame

ANSWER_NS = 4_000_000
"""An id that has not answered by then is free: a USB adapter takes 1 ms each way."""
HOST = 0xFD


class Found(NamedTuple):
    """A motor that answered."""

    id: int
    says: str


Understand = Callable[[BusFrame], Found | None]


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
    kind = int.from_bytes(sdo.value, "little")
    return Found(frame.arbitration_id & 0x7F, f"device type {kind:#010x}")


def _dynamixel(frame: BusFrame) -> Found | None:
    for packet in StreamParser().feed(frame.payload):
        if packet.instruction == dynamixel.Instruction.STATUS and len(packet.body) == 4:
            model = packet.body[1] | packet.body[2] << 8
            return Found(packet.servo, f"model {model}, firmware {packet.body[3]}")
    return None


def _feetech(frame: BusFrame) -> Found | None:
    for packet in feetech.Stream().feed(frame.payload):
        return Found(packet.servo, f"errors {packet.word:#04x}")
    return None


def _unitree(frame: BusFrame) -> Found | None:
    for reply in unitree.ReplyStream().feed(frame.payload):
        return Found(reply.motor, f"mode {reply.mode}, {reply.celsius} °C, error {reply.error}")
    return None


def _serial(packets: Iterable[bytes]) -> list[BusFrame]:
    return [BusFrame(0, packet) for packet in packets]


def _ask_damiao() -> list[BusFrame]:
    register = damiao.Register.MOTOR_ID
    ids = range(1, 128)
    return [BusFrame(damiao.REGISTER_ID, damiao.read_register(i, register)) for i in ids]


def _ask_unitree() -> list[BusFrame]:
    locked = (unitree.encode_command(unitree.Command(i, unitree.LOCK)) for i in range(15))
    return _serial(locked)


QUESTIONS: dict[str, tuple[Callable[[], list[BusFrame]], Understand]] = {
    "damiao": (_ask_damiao, _damiao),
    "robstride": (
        lambda: [robstride.simple(robstride.Kind.GET_ID, HOST, i) for i in range(1, 128)],
        _robstride,
    ),
    "odrive": (lambda: [odrive.ask(i, odrive.Command.HEARTBEAT) for i in range(63)], _odrive),
    "moteus": (lambda: [moteus.query(i) for i in range(1, 128)], _moteus),
    "cia402": (
        lambda: [canopen.upload(i, canopen.Entry.DEVICE_TYPE) for i in range(1, 127)],
        _cia402,
    ),
    "dynamixel": (lambda: _serial(dynamixel.ping(i) for i in range(253)), _dynamixel),
    "feetech": (lambda: _serial(feetech.ping(i) for i in range(254)), _feetech),
    "unitree": (_ask_unitree, _unitree),
}
"""By family: one question an id, and how to read an answer."""


def scan(bus: Bus, family: str, clock: Clock) -> list[Found]:
    """Everyone of one family on a bus, by id. Raises `UsageWrong` for an unknown family."""
    if family not in QUESTIONS:
        raise UsageWrong(
            f"no family called {family!r}", f"known: {', '.join(QUESTIONS)}", "name one of them"
        )
    ask, understand = QUESTIONS[family]
    found: dict[int, Found] = {}
    for frame in ask():
        bus.send([frame])
        deadline_ns = clock.now_ns() + ANSWER_NS
        for answer in bus.receive_until(deadline_ns):
            try:
                one = understand(answer)
            except ValueError:
                continue
            if one is not None:
                found[one.id] = one
    return [found[i] for i in sorted(found)]
