"""Feetech STS/SMS and SCS serial servos: packets and registers. Pure functions.

    instruction   FF FF | id | length | instruction | parameters | check
    status        FF FF | id | length | error       | parameters | check

`length` counts what follows it; check = ~(id + length + ... + parameters) & FF. STS/SMS words are
little-endian, SCS words big-endian. Signs are sign and magnitude, not two's complement.
Sources: LeRobot src/lerobot/motors/feetech; Feetech ftservo SDK (checked against it in the tests).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

from neon_edge.transport.protocol.stream import PacketStream

HEADER = b"\xff\xff"
BROADCAST = 0xFE
HIGHEST_ID = 253
LONGEST = 250
FAULTS = {1: "voltage", 2: "angle", 4: "overheat", 8: "overcurrent", 32: "overload"}
"""The bits of a status packet's error byte."""

# EEPROM: written only with LOCK at 0.
FIRMWARE = 0
"""Major, then minor: two bytes."""
MODEL = 3
ID = 5
RETURN_DELAY = 7
ANGLE_LIMITS = 9
"""Minimum, then maximum: two words."""
STS_MODE = 33
"""0 position, 1 wheel, 2 PWM, 3 steps."""
EEPROM_END = 40
TORQUE_ENABLE = 40
GOAL_POSITION = 42
TORQUE_LIMIT = 48
"""Thousandths of the stall torque."""
STS_LOCK, SCS_LOCK = 55, 48
PRESENT = 56
"""Present position, speed and load, a word each: six bytes in one go."""
PRESENT_BYTES = 6
PRESENT_VOLTAGE = 62
PRESENT_CELSIUS = 63
TABLE_BYTES = 71

SPEED_BIT = POSITION_BIT = 15
LOAD_BIT = 10
RETURN_DELAY_UNIT_NS = 2_000


class Instruction(IntEnum):
    """What a packet asks for."""

    PING = 1
    READ = 2
    WRITE = 3
    SYNC_READ = 0x82
    SYNC_WRITE = 0x83


class Packet(NamedTuple):
    """One packet whose check was right. `word` is the instruction, or a status packet's error."""

    servo: int
    word: int
    body: bytes


class Stream(PacketStream[Packet]):
    """Packets in both directions; a status cannot be told from an instruction by its bytes."""

    header = HEADER
    prefix_bytes = 4

    def span(self, prefix: bytearray) -> int:
        """An id of FF is one more header byte."""
        return prefix[3] + 4 if prefix[2] != 0xFF and 2 <= prefix[3] <= LONGEST else 0

    def packet(self, raw: bytes) -> Packet | None:
        """The packet, or None where the check is wrong."""
        if check(raw[2:-1]) != raw[-1]:
            return None
        return Packet(raw[2], raw[4], raw[5:-1])


def check(covered: bytes) -> int:
    """The last byte, of everything between the header and itself."""
    return ~sum(covered) & 0xFF


def encode(servo: int, word: int, parameters: bytes = b"") -> bytes:
    """One packet. Raises `ValueError` for an id or a length that does not exist."""
    if not 0 <= servo <= HIGHEST_ID and servo != BROADCAST:
        raise ValueError(f"servo id {servo} is not in 0 .. {HIGHEST_ID} or {BROADCAST}")
    if len(parameters) + 2 > LONGEST:
        raise ValueError(f"{len(parameters)} parameter bytes do not fit one packet")
    covered = bytes((servo, len(parameters) + 2, word)) + parameters
    return HEADER + covered + bytes((check(covered),))


def ping(servo: int) -> bytes:
    """Ask whether a servo is there; the reply carries nothing but its error byte."""
    return encode(servo, Instruction.PING)


def read(servo: int, address: int, length: int) -> bytes:
    """Ask one servo for `length` bytes of its registers."""
    return encode(servo, Instruction.READ, bytes((address, length)))


def write(servo: int, address: int, values: bytes) -> bytes:
    """Put bytes into one servo's registers (or everyone's, by broadcast)."""
    return encode(servo, Instruction.WRITE, bytes((address,)) + values)


def sync_write(address: int, length: int, values: Iterable[tuple[int, bytes]]) -> bytes:
    """Put `length` bytes at one address of many servos, in one packet without a reply."""
    parts = [bytes((address, length))]
    for servo, value in values:
        if len(value) != length:
            raise ValueError(f"servo {servo}: {len(value)} bytes for a field of {length}")
        parts.append(bytes((_servo(servo),)) + value)
    return encode(BROADCAST, Instruction.SYNC_WRITE, b"".join(parts))


def sync_read(address: int, length: int, servos: Sequence[int]) -> bytes:
    """Ask many servos for the same field; each answers in turn. STS/SMS only."""
    return encode(BROADCAST, Instruction.SYNC_READ, bytes((address, length, *map(_servo, servos))))


def _servo(servo: int) -> int:
    if not 0 <= servo <= HIGHEST_ID:
        raise ValueError(f"servo id {servo} is not in 0 .. {HIGHEST_ID}")
    return servo


def signed(word: int, sign_bit: int) -> int:
    """A sign-and-magnitude word as a number."""
    magnitude = word & ((1 << sign_bit) - 1)
    return -magnitude if word >> sign_bit & 1 else magnitude


def unsigned(number: int, sign_bit: int) -> int:
    """A number as a sign-and-magnitude word. Raises `ValueError` where it does not fit."""
    if abs(number) >= 1 << sign_bit:
        raise ValueError(f"{number} does not fit {sign_bit} bits and a sign")
    return abs(number) | (number < 0) << sign_bit


def encode_present(position: int, speed: int, load: int, order: str = "little") -> bytes:
    """What a servo keeps at PRESENT: counts, counts/s, thousandths of the stall torque."""
    words = (unsigned(position, 15), unsigned(speed, SPEED_BIT), unsigned(load, LOAD_BIT))
    return b"".join(pack_word(word, order) for word in words)


def decode_present(values: bytes, order: str = "little") -> tuple[int, int, int]:
    """Position, speed and load. Raises `ValueError` for a wrong length."""
    if len(values) != PRESENT_BYTES:
        raise ValueError(f"{len(values)} bytes where {PRESENT_BYTES} are read")
    position, speed, load = (unpack_word(values[k : k + 2], order) for k in (0, 2, 4))
    return signed(position, 15), signed(speed, SPEED_BIT), signed(load, LOAD_BIT)


def pack_word(word: int, order: str) -> bytes:
    """Two bytes in the family's order."""
    return word.to_bytes(2, "big" if order == "big" else "little")


def unpack_word(values: bytes | bytearray, order: str) -> int:
    """Two bytes in the family's order."""
    return int.from_bytes(values, "big" if order == "big" else "little")
