"""All of a tick's CAN frames in one system call each way, from and into numpy arrays.

A frame in Python costs more than the kernel's part of sending it; in a block there are no frames in
Python. The layouts are the kernel's can_frame, canfd_frame and mmsghdr (include/uapi/linux/can.h,
socket.h).
"""

from __future__ import annotations

import ctypes
import socket
import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from neon_edge.transport.protocol.socketcan import (
    BIT_RATE_SWITCH,
    CLASSIC,
    FLEXIBLE,
    HIGHEST_STANDARD,
)

_libc = ctypes.CDLL(None, use_errno=True)
_sendmmsg, _recvmmsg = _libc.sendmmsg, _libc.recvmmsg
_sendmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
_recvmmsg.argtypes = (*_sendmmsg.argtypes, ctypes.c_void_p)

CAPACITY = 64
"""Frames taken at once; a fuller queue takes another call."""
PAYLOAD = 8
_FRAME = [("id", "u4"), ("length", "u1"), ("flags", "u1"), ("pad", "V2"), ("data", ">u8")]
NARROW: np.dtype[np.void] = np.dtype(_FRAME)
WIDE: np.dtype[np.void] = np.dtype([*_FRAME, ("rest", "V56")])
"""A place for either kind of frame; of a flexible one only the first eight bytes are named."""

Frames = npt.NDArray[np.void]


_PIECE = np.dtype([("base", np.uintp), ("length", np.uintp)])
_HEADER = np.dtype(
    [
        ("name", np.uintp), ("name_length", np.uint32), ("pieces", np.uintp),
        ("piece_count", np.uintp), ("control", np.uintp), ("control_length", np.uintp),
        ("flags", np.int32),
    ],
    align=True,
)  # fmt: skip
_MESSAGE = np.dtype([("header", _HEADER), ("taken", np.uint32)], align=True)
"""mmsghdr: `taken` is how many bytes of this message there were."""


class _Block:
    """An array of frames and the headers that point into it."""

    def __init__(self, count: int, dtype: np.dtype[np.void]) -> None:
        self.frames: Frames = np.zeros(count, dtype)
        self._pieces = np.zeros(count, _PIECE)
        self._messages = np.zeros(count, _MESSAGE)
        places = np.arange(count, dtype=np.uintp)
        self._pieces["base"] = self.frames.ctypes.data + places * dtype.itemsize
        self._pieces["length"] = dtype.itemsize
        headers = self._messages["header"]
        headers["pieces"] = self._pieces.ctypes.data + places * _PIECE.itemsize
        headers["piece_count"] = 1
        self._address = self._messages.ctypes.data


class Outgoing(_Block):
    """One frame of eight bytes for each of `ids`; write `words`, then `send`.

    With `fd` flexible ones at the data rate: without the switch an FD frame gains nothing.
    """

    def __init__(self, ids: Sequence[int], *, fd: bool = False) -> None:
        super().__init__(len(ids), WIDE if fd else NARROW)
        self.fd = fd
        self.frames["id"], self.frames["length"] = ids, PAYLOAD
        self.frames["flags"] = BIT_RATE_SWITCH if fd else 0
        self.words: npt.NDArray[np.uint64] = self.frames["data"]
        """The payloads as numbers, first byte highest."""

    def send(self, descriptor: int) -> int:
        """Frames that went out before the first that did not. Raises `OSError` where none did."""
        sent: int = _sendmmsg(descriptor, self._address, len(self.frames), socket.MSG_DONTWAIT)
        if sent < 0:
            raise OSError(ctypes.get_errno(), "sendmmsg")
        return sent

    def raw(self, place: int) -> bytes:
        """One frame as the kernel takes it."""
        return bytes(self.frames[place].tobytes())


class Heads(NamedTuple):
    """What the first halves of plain frames look like, for `Incoming.exactly`."""

    usual: bytes
    """Of all senders, in their usual order."""
    place: dict[int, int]
    """Of each, as a number, to its sender's place in that order."""


def heads_of(ids: Sequence[int]) -> Heads:
    """The heads of one plain frame from each of `ids`."""
    frames = np.zeros(len(ids), NARROW)
    frames["id"], frames["length"] = ids, PAYLOAD
    heads = _heads(frames)
    return Heads(heads.tobytes(), {head: place for place, head in enumerate(heads.tolist())})


class Incoming(_Block):
    """Room for `CAPACITY` frames of either kind; on a bus with `fd` answers are flexible ones."""

    def __init__(self, *, fd: bool = False) -> None:
        super().__init__(CAPACITY, WIDE)
        self._fd = fd
        self._taken: npt.NDArray[np.uint32] = self._messages["taken"]
        size = FLEXIBLE.size if fd else CLASSIC.size
        self._sizes = np.full(CAPACITY, size, np.uint32).tobytes()
        self._heads = _heads(self.frames)
        self._words: npt.NDArray[np.uint64] = self.frames["data"]
        self._bytes = self.frames.view(np.uint8).reshape(CAPACITY, -1)

    def receive(self, descriptor: int) -> int:
        """How many frames came. Raises `OSError`, `BlockingIOError` where there are none."""
        count: int = _recvmmsg(descriptor, self._address, CAPACITY, socket.MSG_DONTWAIT, None)
        if count < 0:
            raise OSError(ctypes.get_errno(), "recvmmsg")
        return count

    def exactly(self, heads: Heads, count: int) -> list[int] | None:
        """The payloads as numbers, in the usual order, where one frame of each sender came.

        None where the first `count` frames are anything else.
        """
        if count != len(heads.place) or self._taken[:count].tobytes() != self._sizes[: 4 * count]:
            return None
        # Of a flexible frame's flags the kernel and the sender's error state decide some.
        first = self._heads[:count] & _NO_FLAGS if self._fd else self._heads[:count]
        words: list[int] = self._words[:count].tolist()
        if first.tobytes() == heads.usual:
            return words
        # On a real bus whoever has the lowest id goes first. In Python: a dictionary's look-ups
        # cost less than numpy's functions do once a tick.
        places = [heads.place.get(head, -1) for head in first.tolist()]
        if -1 in places or len(set(places)) < count:
            return None
        ordered = [0] * count
        for place, word in zip(places, words, strict=True):
            ordered[place] = word
        return ordered

    def plain(self, count: int) -> npt.NDArray[np.bool_]:
        """Which of the first `count` are whole data frames of eight bytes, (count,)."""
        frames, taken = self.frames[:count], self._taken[:count]
        plain: npt.NDArray[np.bool_] = taken == CLASSIC.size
        if self._fd:
            plain |= taken == FLEXIBLE.size
        plain &= frames["length"] == PAYLOAD
        plain &= frames["id"] <= HIGHEST_STANDARD
        return plain

    def classic(self, count: int) -> bytes:
        """The first `count`, which must be classic ones, as they came."""
        return self._bytes[:count, : CLASSIC.size].tobytes()

    def raw(self, place: int) -> bytes:
        """One frame as it came."""
        return self._bytes[place, : self._taken[place]].tobytes()


def _heads(frames: Frames) -> npt.NDArray[np.uint64]:
    """Id, length and padding of every frame as one number: a view."""
    size = frames.dtype.itemsize
    return frames.view(np.dtype([("head", "u8"), ("rest", f"V{size - 8}")]))["head"]


_NO_FLAGS = np.uint64(int.from_bytes(bytes.fromhex("FFFFFFFF FF 00 0000"), sys.byteorder))
"""Of a first half: id and length."""
