"""Pins of a Linux GPIO chip through its character device: one system call a look, no library.

Structures and numbers: Linux `include/uapi/linux/gpio.h`, version 2 of the interface (Linux 5.10).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from collections.abc import Callable

from neon_edge.errors import DeviceMissing

GET_LINE = 0xC250B407
GET_VALUES = 0xC010B40E
SET_VALUES = 0xC010B40F

ACTIVE_LOW, INPUT, OUTPUT, EDGE_FALLING = 1 << 1, 1 << 2, 1 << 3, 1 << 5
BIAS = {"pull-up": 1 << 8, "pull-down": 1 << 9, "none": 1 << 10}
DEBOUNCE = 3
"""Id of the attribute."""

_OFFSETS = struct.Struct("=64I")
_CONSUMER = struct.Struct("=32s")
_CONFIG = struct.Struct("=QI20x")
_ATTRIBUTE = struct.Struct("=II8sQ")
_ATTRIBUTES = 10
_TAIL = struct.Struct("=II20xi")
_VALUES = struct.Struct("=QQ")
EVENT_BYTES = 48
_EVENTS = 16

Ioctl = Callable[[int, int, bytearray], int]


class Pin:
    """One requested line. Values are logical: `active_low` turns both value and edges round.

    An input that asks for edges remembers that it became inactive, however short. Raises
    `DeviceMissing` where the chip or the line cannot be had.
    """

    def __init__(
        self, chip: str, line: int, flags: int, debounce_us: int = 0, ioctl: Ioctl = fcntl.ioctl
    ) -> None:
        self._ioctl = ioctl
        self._values = bytearray(_VALUES.size)
        request = request_bytes(line, flags, debounce_us)
        try:
            descriptor = os.open(chip, os.O_RDWR | os.O_CLOEXEC)
            try:
                ioctl(descriptor, GET_LINE, request)
            finally:
                os.close(descriptor)
        except OSError as failure:
            raise DeviceMissing(
                f"line {line} of {chip} cannot be had",
                f"{failure.strerror or failure}",
                "gpioinfo shows the lines and who holds them; the user must be in the gpio group",
            ) from failure
        self._descriptor: int = _TAIL.unpack_from(request, len(request) - _TAIL.size)[2]
        os.set_blocking(self._descriptor, False)

    def read(self) -> bool:
        """Whether it is active now. Raises OSError where it cannot be read."""
        _VALUES.pack_into(self._values, 0, 0, 1)
        self._ioctl(self._descriptor, GET_VALUES, self._values)
        return bool(self._values[0] & 1)

    def fell(self) -> bool:
        """Whether it became inactive since the last call. Raises OSError where nobody can tell."""
        try:
            return len(os.read(self._descriptor, EVENT_BYTES * _EVENTS)) >= EVENT_BYTES
        except BlockingIOError:
            return False

    def write(self, active: bool) -> None:
        """Set an output. Raises OSError."""
        _VALUES.pack_into(self._values, 0, int(active), 1)
        self._ioctl(self._descriptor, SET_VALUES, self._values)

    def close(self) -> None:
        """Give the line back."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)


def request_bytes(line: int, flags: int, debounce_us: int = 0) -> bytearray:
    """A `gpio_v2_line_request` for one line; the kernel puts a file descriptor into its end."""
    attributes = b""
    if debounce_us:
        attributes = _ATTRIBUTE.pack(DEBOUNCE, 0, struct.pack("=I4x", debounce_us), 1)
    return bytearray(
        _OFFSETS.pack(line, *[0] * 63)
        + _CONSUMER.pack(b"neon-edge")
        + _CONFIG.pack(flags, 1 if debounce_us else 0)
        + attributes.ljust(_ATTRIBUTE.size * _ATTRIBUTES, b"\0")
        + _TAIL.pack(1, 0, -1)
    )
