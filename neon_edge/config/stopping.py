"""What a robot file says of stopping: where to park, who may stop it, who hears that it is well."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from neon_edge.config.motors import Positive


class Park(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a robot with stop = "park" goes before it ends; features are not needed for it.

    Joints that `pose` does not name stay where they are.
    """

    pose: dict[str, float]
    """rad, by joint name."""
    velocity: Positive = 0.5
    """rad/s of the joint that has furthest to go, at most; all arrive together."""
    timeout_s: Annotated[float, Meta(gt=0, le=120)] = 20.0
    """Then it ends where it is, with a warning."""
    within_rad: Positive = 0.1
    """Arrived: every named joint is measured this close."""
    then: Literal["relax", "hold", "damp"] = "relax"
    """What happens there: torque off at once, or after `stop_s` of holding or of damping."""


Line = Annotated[int, Meta(ge=0, le=1023)]
Port = Annotated[int, Meta(ge=1, le=65535)]


class GpioStop(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="gpio"):
    """A normally closed contact between a pin and ground (closed = "low") or supply ("high").

    The default, with a pull-up, reads a broken wire as a stop.
    """

    line: Line
    chip: str = "/dev/gpiochip0"
    closed: Literal["low", "high"] = "low"
    bias: Literal["pull-up", "pull-down", "none"] = "pull-up"
    debounce_ms: Annotated[float, Meta(ge=0, le=100)] = 5.0
    """The kernel's, ahead of both level and edges; 0 for a contact that is debounced already."""


class UdpStop(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="udp"):
    """Datagrams that begin with byte 1 say that all is well; any other, or none, is a stop."""

    port: Port
    address: str = "127.0.0.1"
    """Where to listen."""
    timeout_ms: Positive = 100.0


class PipeStop(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="pipe"):
    """Bytes of value 1 through a FIFO say that all is well; any other, or none, is a stop."""

    path: str
    timeout_ms: Positive = 100.0


StopInput = GpioStop | UdpStop | PipeStop


class GpioBeat(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="gpio"):
    """A pin that changes its level every tick, and is low when it does not."""

    line: Line
    chip: str = "/dev/gpiochip0"
    while_damped: bool = False


class SerialBeat(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="serial"):
    """A byte every tick, counting from 0 to 255 and over again."""

    channel: str
    baud: Annotated[int, Meta(gt=0)] = 115_200
    while_damped: bool = False


class UdpBeat(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="udp"):
    """The same byte as a datagram."""

    address: str
    port: Port
    while_damped: bool = False


class CanBeat(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="can"):
    """The same byte as a frame on one of the robot's buses."""

    bus: str
    id: Annotated[int, Meta(ge=0, le=0x7FF)]
    while_damped: bool = False


Heartbeat = GpioBeat | SerialBeat | UdpBeat | CanBeat
