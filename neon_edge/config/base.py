"""What a robot file says of its base: where velocities go, and how fast they may change."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from neon_edge.config.motors import Positive

BASE_FULL_SPEED_S = 0.5
"""Without acceleration limits, a base reaches full speed in this long."""


class UdpBase(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="udp"):
    """A locomotion controller that takes velocities over UDP: transport/protocol/velocity.py."""

    channel: str
    """HOST:PORT of the controller, or "sim" for the emulated one."""
    watchdog_ms: Annotated[int, Meta(ge=20, le=5000)] = 200
    """Sent with every command: after so long without a newer one the controller stops."""


Triple = tuple[Positive, Positive, Positive]
Base = UdpBase
