"""What motors say of themselves at bring-up, compared with the robot file where that says anything.

Damiao, RobStride and Unitree motors tell no firmware that their documents describe.
"""

from __future__ import annotations

from collections.abc import Sequence

from neon_edge.config import Cia402Motor, Joint, MoteusMotor, OdriveMotor
from neon_edge.errors import ConfigWrong, DeviceMissing
from neon_edge.transport.exchange import CanExchange
from neon_edge.transport.protocol import canopen, moteus, odrive
from neon_edge.transport.protocol.canopen import Entry
from neon_edge.types import BusFrame

SILENT = "tells no firmware"


def check_firmware(joint: Joint, bus: str, stated: str, found: str) -> None:
    """Raises `ConfigWrong` with both sides where the robot file states another firmware."""
    if stated and stated != found:
        raise ConfigWrong(
            f"joint {joint.name!r}: its motor's firmware is not the robot file's",
            f"robot file {stated}, motor {joint.motor.id} on bus {bus!r} says {found}",
            "correct the robot file once you trust that firmware, or change the motor's",
        )


def identify_odrives(exchange: CanExchange, motors: Sequence[OdriveMotor]) -> None:
    """Get_Version, which the oldest firmwares leave unanswered."""

    def version(place: int, frame: BusFrame) -> odrive.Version | None:
        wanted = motors[place].id << 5 | odrive.Command.VERSION
        if frame.arbitration_id != wanted or frame.remote or frame.extended:
            return None
        return odrive.decode_version(frame.payload)

    questions = [odrive.ask(motor.id, odrive.Command.VERSION) for motor in motors]
    try:
        found = exchange.ask(questions, version)
    except DeviceMissing:
        for place, motor in enumerate(motors):
            _note(exchange, place, motor.firmware, SILENT, SILENT)
        return
    for place, (motor, one) in enumerate(zip(motors, found, strict=True)):
        words = f"hardware {one.hardware}, firmware {one.firmware}"
        _note(exchange, place, motor.firmware, one.firmware, words)


def identify_moteus(exchange: CanExchange, motors: Sequence[MoteusMotor]) -> None:
    """Registers 0x100 and 0x101."""
    registers = (moteus.Register.MODEL, moteus.Register.FIRMWARE)

    def told(place: int, frame: BusFrame) -> tuple[int, int] | None:
        if frame.arbitration_id != motors[place].id << 8 or frame.remote:
            return None
        values = moteus.parse(frame.payload).values
        if not all(register in values for register in registers):
            return None
        model, firmware = (int(values[register]) for register in registers)
        return model, firmware

    found = exchange.ask([moteus.query(motor.id, registers) for motor in motors], told)
    for place, (motor, (model, firmware)) in enumerate(zip(motors, found, strict=True)):
        words = f"model {model:#x}, firmware {firmware:#x}"
        _note(exchange, place, motor.firmware, f"{firmware:#x}", words)


def identify_cia402(exchange: CanExchange, motors: Sequence[Cia402Motor]) -> None:
    """Objects 1018 and 608F. A drive need not have either, unless the robot file counts on it."""
    vendors = _objects(exchange, motors, Entry.VENDOR)
    products = _objects(exchange, motors, Entry.PRODUCT)
    revisions = _objects(exchange, motors, Entry.REVISION)
    counts = _objects(exchange, motors, Entry.ENCODER_COUNTS)
    turns = _objects(exchange, motors, Entry.ENCODER_TURNS)
    rows = zip(motors, vendors, products, revisions, counts, turns, strict=True)
    for place, (motor, vendor, product, revision, increments, per) in enumerate(rows):
        encoder = None if increments is None else increments / (per or 1)
        if motor.encoder_counts:
            exchange.compare(
                place, "encoder increments a turn (608F)", motor.encoder_counts, encoder or 0
            )
        told = SILENT if revision is None else f"{revision:#x}"
        words = f"vendor {vendor or 0:#x}, product {product or 0:#x}, revision {told}"
        if encoder is not None:
            words += f", encoder {encoder:g}"
        _note(exchange, place, motor.firmware, told, words)


def _objects(
    exchange: CanExchange, motors: Sequence[Cia402Motor], entry: Entry
) -> list[int | None]:
    """An object of every drive; None where it has none."""

    def answer(place: int, frame: BusFrame) -> canopen.Sdo | None:
        if frame.arbitration_id != canopen.FROM_DRIVE + motors[place].id or frame.extended:
            return None
        sdo = canopen.split_sdo(frame.payload)
        return sdo if sdo.entry == entry else None

    answers = exchange.ask([canopen.upload(motor.id, entry) for motor in motors], answer)
    return [
        None if sdo.command == canopen.ABORTED else int.from_bytes(sdo.value, "little")
        for sdo in answers
    ]


def _note(exchange: CanExchange, place: int, stated: str, found: str, words: str) -> None:
    check_firmware(exchange.joints[place], exchange.bus.name, stated, found)
    exchange.note(place, words)
