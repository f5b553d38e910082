"""What a robot file says of one motor: its family, its address, its ranges."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

CanId = Annotated[int, Meta(ge=0, le=0x7FF)]
Positive = Annotated[float, Meta(gt=0)]


class DamiaoMotor(
    Struct, frozen=True, forbid_unknown_fields=True, tag_field="family", tag="damiao"
):
    """A Damiao DM-J motor in MIT mode on CAN.

    The three maxima are the ranges its firmware maps frames onto (registers 21 to 23): published
    tables disagree, so they are stated here and read back from the motor before it is enabled.
    """

    id: CanId
    feedback_id: CanId
    position_max: Positive = 12.5
    """rad"""
    velocity_max: Positive = 30.0
    """rad/s"""
    torque_max: Positive = 10.0
    """N·m"""
    watchdog_ms: Annotated[int, Meta(ge=0, le=5000)] = 100
    """Silence after which the motor disables itself (register 9); 0 leaves it off."""


class DynamixelMotor(
    Struct, frozen=True, forbid_unknown_fields=True, tag_field="family", tag="dynamixel"
):
    """A Dynamixel X-series servo, Protocol 2.0, position control with a current limit."""

    id: Annotated[int, Meta(ge=0, le=252)]
    model: Annotated[int, Meta(ge=1, le=65535)] = 1020
    """Model number as the servo reports it (1020: XM430-W350)."""
    counts_per_turn: Annotated[int, Meta(ge=1)] = 4096
    velocity_unit: Positive = 0.02398
    """rad/s a count: 0.229 rpm."""
    torque_per_count: Positive = 0.00479
    """N·m a count of present current."""
    watchdog_ms: Annotated[int, Meta(ge=0, le=2540, multiple_of=20)] = 100
    """Bus silence after which the servo stops (register 98, steps of 20 ms); 0 leaves it off."""


Motor = DamiaoMotor | DynamixelMotor
