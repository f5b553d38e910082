"""What a robot file says of its IMU: where readings of the base's attitude come from."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from neon_edge.config.stopping import Port


class UdpImu(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="udp"):
    """Datagrams of transport/protocol/attitude.py, from whoever reads the sensor."""

    port: Port
    address: str = "127.0.0.1"
    """Where to listen."""
    emulated: bool = False
    """The emulated motors' process sends them, upright and at rest. A simulated robot's only."""


class SerialImu(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="serial"):
    """The same bytes, one reading behind another, on a serial line."""

    channel: str
    baud: Annotated[int, Meta(gt=0)] = 115_200


Imu = UdpImu | SerialImu
