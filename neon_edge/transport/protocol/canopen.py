"""CANopen frames that a CiA 402 drive in cyclic synchronous position mode needs. Pure functions.

    000 NMT       command u8 | node u8 |        080 SYNC (empty)        700+n heartbeat  state u8 |
    080+n EMCY    error u16 | register u8 | ... |
    180+n state   status u16 | position i32 | torque i16 |    280+n  velocity i32 |
    200+n command control u16 | position i32 | feed-forward torque i16 |
    600+n SDO to the drive, 580+n from it:  command u8 | index u16 | sub u8 | value 4 |

Little-endian; positions in counts, torques in thousandths of the rated torque. The four PDOs are
our mapping, written at bring-up. Sources: CiA 301 as `canopen` 2.4.1 implements it (the tests talk
to it), CiA 402 as canopen/profiles/p402.py.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

from neon_edge.types import BusFrame

NMT, SYNC, EMERGENCY = 0x000, 0x080, 0x080
STATE_PDO, SPEED_PDO, COMMAND_PDO = 0x180, 0x280, 0x200
FROM_DRIVE, TO_DRIVE, HEARTBEAT = 0x580, 0x600, 0x700
SDO_BYTES = 8
BOOT_UP = 0
"""The first heartbeat of a node that has started."""
HIGHEST_NODE = 127
HOST = 0x7F
"""The node id our heartbeat carries; no drive may have it."""

START, STOP, PRE_OPERATIONAL, RESET = 0x01, 0x02, 0x80, 0x81
OPERATIONAL = 0x05
HEARTBEAT_LOST = 0x8130
ABORTED = 0x80
UPLOADED = 0x40
"""The three highest bits of an SDO that answers an upload."""
CYCLIC_POSITION = 8

DISABLE_VOLTAGE, QUICK_STOP, SHUTDOWN, SWITCH_ON, ENABLE, FAULT_RESET = 0, 2, 6, 7, 15, 0x80

_STATE = struct.Struct("<Hih")
_COMMAND = struct.Struct("<Hih")
POSITION_MAX = 2**31 - 1


class Entry(IntEnum):
    """Objects as index << 8 | sub-index."""

    DEVICE_TYPE = 0x100000
    CONSUMER_HEARTBEAT = 0x101601
    VENDOR = 0x101801
    PRODUCT = 0x101802
    REVISION = 0x101803
    ABORT_OPTION = 0x600700
    CONTROL = 0x604000
    STATUS = 0x604100
    QUICK_STOP_OPTION = 0x605A00
    MODE = 0x606000
    MODE_DISPLAY = 0x606100
    POSITION = 0x606400
    VELOCITY = 0x606C00
    MAX_TORQUE = 0x607200
    RATED_TORQUE = 0x607600
    TORQUE = 0x607700
    TARGET = 0x607A00
    INTERPOLATION = 0x60C201
    INTERPOLATION_EXPONENT = 0x60C202
    TORQUE_OFFSET = 0x60B200
    ENCODER_COUNTS = 0x608F01
    ENCODER_TURNS = 0x608F02


SIZES = {
    Entry.DEVICE_TYPE: 4,
    Entry.CONSUMER_HEARTBEAT: 4,
    Entry.VENDOR: 4,
    Entry.PRODUCT: 4,
    Entry.REVISION: 4,
    Entry.ABORT_OPTION: -2,
    Entry.CONTROL: 2,
    Entry.STATUS: 2,
    Entry.QUICK_STOP_OPTION: -2,
    Entry.MODE: -1,
    Entry.MODE_DISPLAY: -1,
    Entry.POSITION: -4,
    Entry.VELOCITY: -4,
    Entry.MAX_TORQUE: 2,
    Entry.RATED_TORQUE: 4,
    Entry.TORQUE: -2,
    Entry.TARGET: -4,
    Entry.INTERPOLATION: 1,
    Entry.INTERPOLATION_EXPONENT: -1,
    Entry.TORQUE_OFFSET: -2,
    Entry.ENCODER_COUNTS: 4,
    Entry.ENCODER_TURNS: 4,
}
"""Bytes of each object; negative where it is signed."""


class State(IntEnum):
    """A drive's state, as the bits of its status word that tell it."""

    NOT_READY = 0x00
    SWITCH_ON_DISABLED = 0x40
    READY_TO_SWITCH_ON = 0x21
    SWITCHED_ON = 0x23
    ENABLED = 0x27
    QUICK_STOP = 0x07
    FAULT_REACTION = 0x0F
    FAULT = 0x08


class DriveState(NamedTuple):
    """A state PDO."""

    status: int
    position: int
    torque: int


class Sdo(NamedTuple):
    """A taken-apart SDO. `entry` is index << 8 | sub; `value` holds four bytes."""

    command: int
    entry: int
    value: bytes


def state_of(status: int) -> State:
    """Which state a status word tells (CiA 402 table of masks)."""
    if status & 0x4F in (State.NOT_READY, State.SWITCH_ON_DISABLED, State.FAULT, 0x0F):
        return State(status & 0x4F)
    try:
        return State(status & 0x6F)
    except ValueError:
        return State.NOT_READY


def nmt(command: int, node: int) -> BusFrame:
    """Start, stop or reset a node; 0 for all."""
    return BusFrame(NMT, bytes((command, node)))


def heartbeat(node: int, state: int = OPERATIONAL) -> BusFrame:
    """I am alive, and in this state."""
    return BusFrame(HEARTBEAT + node, bytes((state,)))


def command(node: int, control: int, position: int, torque: int) -> BusFrame:
    """A command PDO. Raises `ValueError` for what does not fit."""
    if not (abs(position) <= POSITION_MAX and abs(torque) <= 32767):
        raise ValueError(f"position {position} counts, torque {torque} thousandths")
    return BusFrame(COMMAND_PDO + node, _COMMAND.pack(control, position, torque))


def decode_command(payload: bytes) -> tuple[int, int, int]:
    """Control word, position, torque. Raises `ValueError` for a wrong length."""
    if len(payload) != 8:
        raise ValueError(f"{len(payload)} bytes where 8 are expected")
    control, position, torque = _COMMAND.unpack(payload)
    return control, position, torque


def state(node: int, drive: DriveState) -> BusFrame:
    """A state PDO: what a drive answers to SYNC."""
    return BusFrame(STATE_PDO + node, _STATE.pack(*drive))


def decode_state(payload: bytes) -> DriveState:
    """A state PDO's content. Raises `ValueError` for a wrong length."""
    if len(payload) != 8:
        raise ValueError(f"{len(payload)} bytes where 8 are expected")
    return DriveState(*_STATE.unpack(payload))


def upload(node: int, entry: int) -> BusFrame:
    """Ask for an object."""
    payload = struct.pack("<BHBI", 0x40, entry >> 8, entry & 0xFF, 0)
    return BusFrame(TO_DRIVE + node, payload)


def download(node: int, entry: int, value: int, size: int) -> BusFrame:
    """Set an object of `size` bytes. Raises `ValueError` for what does not fit."""
    return BusFrame(TO_DRIVE + node, _expedited(0x23, entry, value, size))


def uploaded(node: int, entry: int, value: int, size: int) -> BusFrame:
    """A drive's answer to an upload."""
    return BusFrame(FROM_DRIVE + node, _expedited(0x43, entry, value, size))


def downloaded(node: int, entry: int) -> BusFrame:
    """A drive's answer to a download that it took."""
    payload = struct.pack("<BHBI", 0x60, entry >> 8, entry & 0xFF, 0)
    return BusFrame(FROM_DRIVE + node, payload)


def aborted(node: int, entry: int, code: int) -> BusFrame:
    """A drive's answer to what it refuses."""
    payload = struct.pack("<BHBI", 0x80, entry >> 8, entry & 0xFF, code)
    return BusFrame(FROM_DRIVE + node, payload)


def _expedited(base: int, entry: int, value: int, size: int) -> bytes:
    try:
        packed = value.to_bytes(size, "little", signed=value < 0)
    except OverflowError as failure:
        raise ValueError(f"{value} does not fit {size} bytes") from failure
    head = struct.pack("<BHB", base | (4 - size) << 2, entry >> 8, entry & 0xFF)
    return head + packed.ljust(4, b"\0")


def split_sdo(payload: bytes) -> Sdo:
    """Take an SDO apart. Raises `ValueError` for a wrong length."""
    if len(payload) != 8:
        raise ValueError(f"{len(payload)} bytes where 8 are expected")
    command, index, sub = struct.unpack_from("<BHB", payload)
    return Sdo(command, index << 8 | sub, payload[4:])


def sdo_size(command: int) -> int:
    """How many of an expedited SDO's four bytes count."""
    return 4 - (command >> 2 & 3) if command & 1 else 4


def emergency(node: int, error: int) -> BusFrame:
    """Something is wrong: a drive says it once; 0 says it is over."""
    return BusFrame(EMERGENCY + node, struct.pack("<HB5x", error, 0x11 if error else 0))


def decode_emergency(payload: bytes) -> int:
    """The error code. Raises `ValueError` for a wrong length."""
    if len(payload) != 8:
        raise ValueError(f"{len(payload)} bytes where 8 are expected")
    return payload[0] | payload[1] << 8
