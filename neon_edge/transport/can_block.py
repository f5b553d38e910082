"""All of a tick's frames of eight bytes in one system call each way, from and into numpy arrays.

A frame in Python costs more than the kernel's part of sending it; in a block there are no frames in
Python. The layouts are the kernel's can_frame and mmsghdr (include/uapi/linux/can.h, socket.h).
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from neon_edge.transport.protocol.socketcan import BIT_RATE_SWITCH, CLASSIC, FLEXIBLE

_libc = ctypes.CDLL(None, use_errno=True)
_sendmmsg, _recvmmsg = _libc.sendmmsg, _libc.recvmmsg
_sendmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
_recvmmsg.argtypes = (*_sendmmsg.argtypes, ctypes.c_void_p)

CAPACITY = 64
"""Frames taken at once; a fuller queue takes another call."""
PAYLOAD = 8
_FRAME = [("id", "u4"), ("length", "u1"), ("pad", "V3"), ("data", ">u8")]
OUTGOING: np.dtype[np.void] = np.dtype(_FRAME)
INCOMING: np.dtype[np.void] = np.dtype([*_FRAME, ("rest", "V56")])
"""A place for either kind of frame; of a flexible one only its head is named."""
HIGHEST_STANDARD = 0x7FF
_FLAGS = 5
"""Where a flexible frame's flags stand; a classic one has padding there."""
_NO_FLAGS = np.frombuffer(b"\xff\xff\xff\xff\xff\0\xff\xff", np.uint64)
"""Kernels differ in which flags they set on what they have received."""

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
    """One frame of eight bytes for each of `ids`; `fill` them, then `send`.

    Classic, or flexible with bit-rate switch.
    """

    def __init__(self, ids: Sequence[int], *, flexible: bool = False) -> None:
        super().__init__(len(ids), INCOMING if flexible else OUTGOING)
        self.frames["id"], self.frames["length"] = ids, PAYLOAD
        self._flexible = flexible
        if flexible:
            self.frames.view(np.uint8).reshape(len(ids), -1)[:, _FLAGS] = BIT_RATE_SWITCH
        # Heads and payloads in turn: one call of `struct` costs less than numpy's way over a list.
        self._layout = struct.Struct(">" + ("QQ56x" if flexible else "QQ") * len(ids))
        self._numbers = list(self._layout.unpack(self.frames.tobytes()))
        self._buffer = self.frames.view(np.uint8).data

    def fill(self, words: Sequence[int]) -> None:
        """The payloads as numbers, first byte highest, one for each id."""
        self._numbers[1::2] = words
        self._layout.pack_into(self._buffer, 0, *self._numbers)

    def send(self, descriptor: int) -> int:
        """Frames that went out before the first that did not. Raises `OSError` where none did."""
        sent: int = _sendmmsg(descriptor, self._address, len(self.frames), socket.MSG_DONTWAIT)
        if sent < 0:
            raise OSError(ctypes.get_errno(), "sendmmsg")
        return sent

    def raw(self, place: int) -> bytes:
        """One frame as the kernel takes it."""
        return bytes(self.frames[place].tobytes())

    def told(self, count: int) -> list[bytes]:
        """The first `count` for a tap: classic ones together, flexible ones each."""
        if self._flexible:
            return [self.raw(place) for place in range(count)]
        return [self.frames[:count].tobytes()]


def heads_of(ids: Sequence[int]) -> bytes:
    """What the first halves of plain frames from `ids` look like, in this order, one message each.

    For `Incoming.exactly`.
    """
    frames = np.zeros(len(ids), OUTGOING)
    frames["id"], frames["length"] = ids, PAYLOAD
    return _heads(frames).tobytes()


class Incoming(_Block):
    """Room for `CAPACITY` frames of either kind."""

    def __init__(self) -> None:
        super().__init__(CAPACITY, INCOMING)
        self._taken: npt.NDArray[np.uint32] = self._messages["taken"]
        self._sizes = {
            flexible: np.full(CAPACITY, kind.size, np.uint32).tobytes()
            for flexible, kind in ((False, CLASSIC), (True, FLEXIBLE))
        }
        self._heads = _heads(self.frames)
        self._words: npt.NDArray[np.uint64] = self.frames["data"]
        self._bytes = self.frames.view(np.uint8).reshape(CAPACITY, -1)

    def receive(self, descriptor: int) -> int:
        """How many frames came. Raises `OSError`, `BlockingIOError` where there are none."""
        count: int = _recvmmsg(descriptor, self._address, CAPACITY, socket.MSG_DONTWAIT, None)
        if count < 0:
            raise OSError(ctypes.get_errno(), "recvmmsg")
        return count

    def exactly(
        self, heads: bytes, count: int, *, flexible: bool = False
    ) -> npt.NDArray[np.uint64] | None:
        """The payloads as numbers where the first `count` frames are just those, else None."""
        found = self._heads[:count]
        if (found & _NO_FLAGS if flexible else found).tobytes() != heads:
            return None
        if self._taken[:count].tobytes() != self._sizes[flexible][: 4 * count]:
            return None
        return self._words[:count]

    def plain(self, count: int, *, flexible: bool = False) -> npt.NDArray[np.bool_]:
        """Which of the first `count` are whole data frames of eight bytes, (count,).

        Classic ones, and flexible ones where those are wanted.
        """
        frames = self.frames[:count]
        plain: npt.NDArray[np.bool_] = self._taken[:count] == CLASSIC.size
        if flexible:
            plain |= self._taken[:count] == FLEXIBLE.size
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
