"""What a robot file says of the sensors that its heads were trained with."""

from __future__ import annotations

import math
from typing import Annotated

from msgspec import Meta, Struct

from neon_edge.config.motors import Positive
from neon_edge.config.stopping import Port

STALE_AFTER_MS = 200.0
"""Ten ticks at 50 Hz; a sensor of 10 Hz may miss one reading."""
Shape = Annotated[list[Annotated[int, Meta(ge=1)]], Meta(min_length=1, max_length=3)]


class FixedSensor(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="fixed"):
    """A reading that never changes. Only a simulated robot may have one."""

    name: str
    value: list[float]


class _Live(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Readings of transport/protocol/values.py, from whoever reads the sensor."""

    name: str
    shape: Shape
    """As the checkpoint has it: [6] for force, [4096, 4] for a lidar."""
    stale_after_ms: Positive = STALE_AFTER_MS
    """Silent for longer than this: hold."""

    @property
    def size(self) -> int:
        """Numbers in one reading."""
        return math.prod(self.shape)


class UdpSensor(_Live, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="udp"):
    """A datagram a reading."""

    port: Port
    address: str = "127.0.0.1"
    """Where to listen."""


class UnixSensor(_Live, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="unix"):
    """A datagram a reading, to a UNIX socket that the run makes; needs no network."""

    path: str


class SerialSensor(_Live, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="serial"):
    """The same bytes, one reading behind another, on a serial line."""

    channel: str
    baud: Annotated[int, Meta(gt=0)] = 115_200


LiveSensor = UdpSensor | UnixSensor | SerialSensor
Sensor = FixedSensor | UdpSensor | UnixSensor | SerialSensor
