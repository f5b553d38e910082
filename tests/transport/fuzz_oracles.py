"""Which motors a CAN frame may move, and whose state one may be, by the families' own documents.

Written from the frame tables, not from our decoders: kind of id, remote flag and length all count.
A place is the motor's in the robot; motor ids are 1, 2, 3 there.
"""

from __future__ import annotations

from collections.abc import Callable

from neon_edge.types import BusFrame

Places = set[int]
NOBODY: Places = set()
EVERYONE = {0, 1, 2}
HOST = 0xFD


def _places(ids: set[int]) -> Places:
    return {i - 1 for i in ids & {1, 2, 3}}


def _plain(frame: BusFrame, *lengths: int) -> bool:
    """Standard id, a data frame, of one of these lengths."""
    return not (frame.extended or frame.remote) and len(frame.payload) in lengths


def damiao(frame: BusFrame) -> Places:
    """Commands and specials alike are eight bytes on the motor's own id."""
    return _places({frame.arbitration_id}) if _plain(frame, 8) else NOBODY


def damiao_state(frame: BusFrame) -> Places:
    """Feedback: eight bytes on the motor's feedback id, 0x10 above its own here."""
    return _places({frame.arbitration_id - 0x10}) if _plain(frame, 8) else NOBODY


def robstride(frame: BusFrame) -> Places:
    """Extended, eight bytes, to the motor: operate, enable, disable, write a parameter."""
    kind, target = frame.arbitration_id >> 24, frame.arbitration_id & 0xFF
    sound = frame.extended and not frame.remote and len(frame.payload) == 8
    return _places({target}) if sound and kind in (1, 3, 4, 18) else NOBODY


def robstride_state(frame: BusFrame) -> Places:
    """Type 2 to the host; the motor stands in the low byte of the field."""
    kind, target = frame.arbitration_id >> 24, frame.arbitration_id & 0xFF
    sound = frame.extended and not frame.remote and len(frame.payload) == 8
    known = sound and kind == 2 and target == HOST
    return _places({frame.arbitration_id >> 8 & 0xFF}) if known else NOBODY


ODRIVE_BYTES = {0x07: 4, 0x0B: 8, 0x0C: 8, 0x0D: 8, 0x0E: 4, 0x1A: 4, 0x1B: 8}
"""Lengths of the messages that change what an axis pulls with; an e-stop is taken in any."""


def odrive(frame: BusFrame) -> Places:
    """Standard, node in the high six bits, command in the low five."""
    node, command = frame.arbitration_id >> 5, frame.arbitration_id & 31
    if frame.extended or frame.remote:
        return NOBODY
    meant = command == 0x02 or ODRIVE_BYTES.get(command) == len(frame.payload)
    return _places({node}) if meant else NOBODY


def odrive_state(frame: BusFrame) -> Places:
    """Estimates, eight bytes."""
    meant = _plain(frame, 8) and frame.arbitration_id & 31 == 0x09
    return _places({frame.arbitration_id >> 5}) if meant else NOBODY


def moteus(frame: BusFrame) -> Places:
    """Destination in the low byte, no prefix, and whole sub-frames of which one writes the mode."""
    number = frame.arbitration_id
    if frame.remote or number > 0xFFFF:
        return NOBODY
    written = _written(frame.payload)
    return _places({number & 0xFF}) if written is not None and 0 in written else NOBODY


def moteus_state(frame: BusFrame) -> Places:
    """From the motor to node 0, whole, with the four registers that make a state."""
    if frame.remote or frame.arbitration_id & 0xFF or frame.arbitration_id > 0xFFFF:
        return NOBODY
    told = _written(frame.payload)
    whole = told is not None and {0, 1, 2, 3} <= told
    return _places({frame.arbitration_id >> 8}) if whole else NOBODY


def _written(payload: bytes) -> set[int] | None:
    """Registers with values in writes (00) or replies (20); None where a sub-frame is unsound."""
    registers: set[int] = set()
    rest = list(payload)
    try:
        while rest:
            code = rest.pop(0)
            if code == 0x50:
                continue
            if code in (0x40, 0x41, 0x42):
                channel, length = _number(rest), _number(rest)
                if channel != 1 or (code != 0x42 and len(rest) < length):
                    return None
                del rest[: length if code != 0x42 else 0]
                continue
            if code >= 0x30:
                return None
            count = code & 3 or rest.pop(0)
            first = _number(rest)
            if code & 0x30 == 0x10:
                continue
            size = count * (1, 2, 4, 4)[code >> 2 & 3]
            if len(rest) < size:
                return None
            del rest[:size]
            registers.update(range(first, first + count))
    except IndexError:
        return None
    return registers


def _number(rest: list[int]) -> int:
    value = shift = 0
    while True:
        byte = rest.pop(0)
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value
        if shift > 28:
            raise IndexError


def cia402(frame: BusFrame) -> Places:
    """NMT for a node or all, a command PDO, a download of an object."""
    base, node = frame.arbitration_id & 0x780, frame.arbitration_id & 0x7F
    if frame.arbitration_id == 0 and _plain(frame, 2):
        commands, whom = frame.payload[0] in (0x01, 0x02, 0x80, 0x81, 0x82), frame.payload[1]
        return (EVERYONE if whom == 0 else _places({whom})) if commands else NOBODY
    written = base == 0x600 and _plain(frame, 8) and frame.payload[0] >> 5 == 1
    commanded = base == 0x200 and _plain(frame, 8)
    return _places({node}) if written or commanded else NOBODY


def cia402_state(frame: BusFrame) -> Places:
    """The speed PDO, four bytes, makes a state whole."""
    base, node = frame.arbitration_id & 0x780, frame.arbitration_id & 0x7F
    return _places({node}) if base == 0x280 and _plain(frame, 4) else NOBODY


MOVES: dict[str, Callable[[BusFrame], Places]] = {
    "damiao": damiao,
    "robstride": robstride,
    "odrive": odrive,
    "moteus": moteus,
    "cia402": cia402,
}
"""Whose goal, gains or torque limit a frame may change."""
TELLS: dict[str, Callable[[BusFrame], Places]] = {
    "damiao": damiao_state,
    "robstride": robstride_state,
    "odrive": odrive_state,
    "moteus": moteus_state,
    "cia402": cia402_state,
}
"""Whose state a frame may be, to our side."""
