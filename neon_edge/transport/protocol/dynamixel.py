"""Dynamixel Protocol 2.0 packets. Pure functions; `dynamixel_stream` finds packets in bytes.

    instruction   FF FF FD 00 | id | length u16 | instruction | parameters     | crc u16
    status        FF FF FD 00 | id | length u16 | 55 | error  | parameters     | crc u16

Little-endian. `length` counts what follows it. FF FF FD inside instruction..parameters travels as
FF FF FD FD; length and CRC are those of the stuffed bytes. The one reply that is not stuffed is
the fast sync read's. Source: emanual.robotis.com/docs/en/dxl/protocol2.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

from neon_edge.transport.protocol.crc import crc16

HEADER = b"\xff\xff\xfd\x00"
PREFIX_BYTES = 7
"""Header, id and length: what stands before the bytes that `length` counts."""
STATUS_BYTES = 11
"""A status packet without parameters."""
BROADCAST = 0xFE
HIGHEST_ID = 252
ALERT = 0x80
"""In the error byte: the servo's hardware error status is set."""

_PATTERN = b"\xff\xff\xfd"
_STUFFED = b"\xff\xff\xfd\xfd"


class Instruction(IntEnum):
    """What a packet asks for; STATUS is the answer."""

    PING = 0x01
    READ = 0x02
    WRITE = 0x03
    REBOOT = 0x08
    STATUS = 0x55
    SYNC_READ = 0x82
    SYNC_WRITE = 0x83
    FAST_SYNC_READ = 0x8A


class Failure(IntEnum):
    """The low seven bits of a status packet's error byte."""

    NONE = 0
    RESULT = 1
    INSTRUCTION = 2
    CRC = 3
    RANGE = 4
    LENGTH = 5
    LIMIT = 6
    ACCESS = 7


class Packet(NamedTuple):
    """One packet whose CRC was right. `body` is what followed the instruction, unstuffed.

    A status packet's body opens with the error byte.
    """

    servo: int
    instruction: int
    body: bytes


class Reading(NamedTuple):
    """One servo's part of a read reply."""

    servo: int
    error: int
    values: bytes


def encode(servo: int, instruction: int, parameters: bytes = b"") -> bytes:
    """One packet, stuffed. Raises `ValueError` for an id that no servo can have."""
    if not 0 <= servo <= HIGHEST_ID and servo != BROADCAST:
        raise ValueError(f"servo id {servo} is not in 0 .. {HIGHEST_ID} or {BROADCAST}")
    body = bytes((instruction,)) + parameters
    if _PATTERN in body:
        body = body.replace(_PATTERN, _STUFFED)
    if len(body) + 2 > 0xFFFF:
        raise ValueError(f"{len(parameters)} parameter bytes do not fit one packet")
    head = HEADER + struct.pack("<BH", servo, len(body) + 2) + body
    return head + struct.pack("<H", crc16(head))


def unstuff(body: bytes) -> bytes:
    """Undo the stuffing of `encode`."""
    return body.replace(_STUFFED, _PATTERN) if _STUFFED in body else body


def ping(servo: int = BROADCAST) -> bytes:
    """Ask who is there; the reply carries model number u16 and firmware u8."""
    return encode(servo, Instruction.PING)


def read(servo: int, address: int, length: int) -> bytes:
    """Ask one servo for `length` bytes of its control table."""
    return encode(servo, Instruction.READ, struct.pack("<HH", address, length))


def write(servo: int, address: int, values: bytes) -> bytes:
    """Put bytes into one servo's control table (or everyone's, by broadcast)."""
    return encode(servo, Instruction.WRITE, struct.pack("<H", address) + values)


def sync_write(address: int, length: int, values: Iterable[tuple[int, bytes]]) -> bytes:
    """Put `length` bytes at one address of many servos, in one packet without a reply."""
    parts = [struct.pack("<HH", address, length)]
    for servo, value in values:
        if len(value) != length:
            raise ValueError(f"servo {servo}: {len(value)} bytes for a field of {length}")
        parts.append(_servo_byte(servo) + value)
    return encode(BROADCAST, Instruction.SYNC_WRITE, b"".join(parts))


def sync_read(address: int, length: int, servos: Sequence[int]) -> bytes:
    """Ask many servos for the same field; each answers in turn with its own packet."""
    return _sync_read(Instruction.SYNC_READ, address, length, servos)


def fast_sync_read(address: int, length: int, servos: Sequence[int]) -> bytes:
    """Ask many servos for the same field; they answer with one packet that all of them build."""
    return _sync_read(Instruction.FAST_SYNC_READ, address, length, servos)


def _sync_read(instruction: int, address: int, length: int, servos: Sequence[int]) -> bytes:
    ids = b"".join(_servo_byte(servo) for servo in servos)
    return encode(BROADCAST, instruction, struct.pack("<HH", address, length) + ids)


def _servo_byte(servo: int) -> bytes:
    if not 0 <= servo <= HIGHEST_ID:
        raise ValueError(f"servo id {servo} is not in 0 .. {HIGHEST_ID}")
    return bytes((servo,))


def status(servo: int, error: int, values: bytes = b"") -> bytes:
    """A servo's answer: what an emulated servo sends."""
    return encode(servo, Instruction.STATUS, bytes((error,)) + values)


def fast_status(readings: Sequence[Reading]) -> bytes:
    """The joint answer to a fast sync read. Every servo's CRC runs over all bytes before it."""
    length = sum(len(reading.values) + 4 for reading in readings) + 1
    packet = bytearray(HEADER + struct.pack("<BHB", BROADCAST, length, Instruction.STATUS))
    for reading in readings:
        packet += bytes((reading.error, reading.servo)) + reading.values
        packet += struct.pack("<H", crc16(packet))
    return bytes(packet)


def split_status(packet: Packet) -> Reading:
    """One servo's answer. Raises `ValueError` for a packet that is not one."""
    if packet.instruction != Instruction.STATUS or not packet.body:
        raise ValueError(f"instruction {packet.instruction:#04x} is not a status packet")
    return Reading(packet.servo, packet.body[0], packet.body[1:])


def split_fast_status(packet: Packet, length: int) -> list[Reading]:
    """The parts of a fast sync read's answer whose own CRC is right, in the order they came.

    Vendor SDK 4.1.0 reads neither the error nor the CRC of each servo. A servo that heard a broken
    part passes it on under a valid last CRC, so each must be checked.
    """
    part = length + 4
    body = packet.body
    if packet.servo != BROADCAST or packet.instruction != Instruction.STATUS:
        raise ValueError("not the answer to a fast sync read")
    if not body or (len(body) + 2) % part:
        raise ValueError(f"{len(body) + 2} bytes do not divide into answers of {part}")
    head = HEADER + struct.pack("<BHB", BROADCAST, len(body) + 3, Instruction.STATUS)
    running = crc16(head)
    readings = []
    for start in range(0, len(body) + 2, part):
        end = start + part - 2
        running = crc16(body[start:end], running)
        sent = body[end : end + 2]
        # The last CRC is the packet's own, which the parser has checked and taken off.
        if not sent or sent == struct.pack("<H", running):
            readings.append(Reading(body[start + 1], body[start], body[start + 2 : end]))
        running = crc16(sent, running)
    return readings
