"""What a robot file says of one motor: its family, its address, its ranges."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

CanId = Annotated[int, Meta(ge=0, le=0x7FF)]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Firmware1 = Annotated[str, Meta(pattern=r"^[0-9]*$")]
Firmware2 = Annotated[str, Meta(pattern=r"^([0-9]+\.[0-9]+)?$")]
Firmware3 = Annotated[str, Meta(pattern=r"^([0-9]+\.[0-9]+\.[0-9]+)?$")]
FirmwareHex = Annotated[str, Meta(pattern=r"^(0x[0-9a-f]+)?$")]


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
    """A Dynamixel X-series servo, Protocol 2.0, position control within the joint's effort."""

    id: Annotated[int, Meta(ge=0, le=252)]
    model: Annotated[int, Meta(ge=1, le=65535)] = 1020
    """Model number as the servo reports it (1020: XM430-W350)."""
    counts_per_turn: Annotated[int, Meta(ge=1)] = 4096
    velocity_unit: Positive = 0.02398
    """rad/s a count: 0.229 rpm."""
    torque_per_count: Positive = 0.00479
    """N·m a count of present current; of PWM at standstill where that bounds it (stall / 885)."""
    torque_by: Literal["current", "pwm"] = "current"
    """What bounds the torque. XL430 and other servos that cannot measure current: "pwm"."""
    watchdog_ms: Annotated[int, Meta(ge=0, le=2540, multiple_of=20)] = 100
    """Bus silence after which the servo stops (register 98, steps of 20 ms); 0 leaves it off."""
    drive_mode: Annotated[int, Meta(ge=0, le=255)] = 0
    """Register 10 as the servo holds it: bit 0 turns its sense, and `sign` and `offset` with it."""
    homing_offset: Annotated[int, Meta(ge=-1044479, le=1044479)] = 0
    """Counts in register 20 as the servo holds them: they move its zero, and `offset` with it."""
    firmware: Firmware1 = ""
    """What it must say, as "45"; empty takes any that is new enough for what is asked of it."""


class FeetechMotor(
    Struct, frozen=True, forbid_unknown_fields=True, tag_field="family", tag="feetech"
):
    """A Feetech bus servo, position control with a torque limit. It has no watchdog."""

    id: Annotated[int, Meta(ge=0, le=253)]
    series: Literal["sts", "scs"] = "sts"
    """"scs" servos send their words the other way round and are asked one by one."""
    model: Annotated[int, Meta(ge=1, le=65535)] = 777
    """Model number as the servo reports it (777: STS3215)."""
    counts_per_turn: Annotated[int, Meta(ge=1, le=32767)] = 4096
    stall_torque: Positive = 2.94
    """N·m at the supply voltage (STS3215 at 12 V: 30 kg·cm)."""
    watchdog_ms: Annotated[int, Meta(ge=0, le=0)] = 0
    """There is none: a servo whose host has died holds its last goal."""
    firmware: Firmware2 = ""
    """What it must say, as "3.10"; empty takes any."""


class RobstrideMotor(
    Struct, frozen=True, forbid_unknown_fields=True, tag_field="family", tag="robstride"
):
    """A RobStride or CyberGear motor on CAN, private protocol, operation control.

    Each model has its own ranges, gains among them; the motor does not tell which it is.
    """

    id: Annotated[int, Meta(ge=1, le=127)]
    model: Literal["rs00", "rs01", "rs02", "rs03", "rs04", "rs05", "rs06", "cybergear"]
    watchdog_ms: Annotated[int, Meta(ge=0, le=5000)] = 100
    """Silence after which the motor resets itself (parameter 0x7028); 0 leaves it off."""
    unconfirmed: bool = False
    """A CyberGear's watchdog is not documented: set to use one as it is."""


class OdriveMotor(
    Struct, frozen=True, forbid_unknown_fields=True, tag_field="family", tag="odrive"
):
    """An ODrive axis, CANSimple. Its encoder rates and its watchdog are set over USB."""

    id: Annotated[int, Meta(ge=0, le=62)]
    gear: Positive = 1.0
    """Turns of the rotor for one of the joint."""
    watchdog_ms: Annotated[int, Meta(ge=0, le=5000)] = 100
    """axis0.config.watchdog_timeout as it was set over USB; 0 where it is not enabled."""
    firmware: Firmware3 = ""
    """What it must say, as "0.6.11"; empty takes any."""


class MoteusMotor(
    Struct, frozen=True, forbid_unknown_fields=True, tag_field="family", tag="moteus"
):
    """A moteus controller on CAN FD, position mode."""

    id: Annotated[int, Meta(ge=1, le=127)]
    kp_max: Positive = 50.0
    """N·m/rad: servo.pid_position.kp as configured, which is in N·m a turn, over 2π."""
    kd_max: Positive = 2.0
    """N·m·s/rad: servo.pid_position.kd as configured, over 2π."""
    watchdog_ms: Annotated[int, Meta(ge=10, le=5000)] = 100
    """Silence after which it times out. Sent with every command."""
    firmware: FirmwareHex = ""
    """What register 0x101 must hold, as "0x10600"; empty takes any."""


class Cia402Motor(
    Struct, frozen=True, forbid_unknown_fields=True, tag_field="family", tag="cia402"
):
    """A CANopen drive, CiA 402 cyclic synchronous position."""

    id: Annotated[int, Meta(ge=1, le=126)]
    counts_per_turn: Positive = 65536.0
    """Position counts for one turn of the joint, gear included."""
    rated_torque: Positive = 10.0
    """N·m at the joint for a thousand thousandths (object 6076, gear included)."""
    watchdog_ms: Annotated[int, Meta(ge=0, le=5000)] = 100
    """Consumer heartbeat time (object 1016); 0 leaves it off."""
    encoder_counts: Annotated[int, Meta(ge=0)] = 0
    """Increments for one turn of the motor that object 608F must tell; 0 takes any."""
    firmware: FirmwareHex = ""
    """The revision that object 1018:03 must tell, as "0x10002"; empty takes any."""


class UnitreeMotor(
    Struct, frozen=True, forbid_unknown_fields=True, tag_field="family", tag="unitree"
):
    """A Unitree GO-M8010-6 on RS-485. What it does when its host dies is not documented."""

    id: Annotated[int, Meta(ge=0, le=14)]
    unconfirmed: bool = False
    """The vendor's library is binary and could not be compared with: set to use the motor."""
    watchdog_ms: Annotated[int, Meta(ge=0, le=0)] = 0


Motor = (
    DamiaoMotor
    | DynamixelMotor
    | FeetechMotor
    | RobstrideMotor
    | OdriveMotor
    | MoteusMotor
    | Cia402Motor
    | UnitreeMotor
)


def needs_opt_in(motor: Motor) -> str:
    """Why a motor may only be used with `unconfirmed = true`, or nothing."""
    if isinstance(motor, UnitreeMotor) and not motor.unconfirmed:
        return "frames of the GO-M8010-6 have not been compared with the vendor's own library"
    if isinstance(motor, RobstrideMotor) and motor.model == "cybergear" and not motor.unconfirmed:
        return "a CyberGear's watchdog and what it does when it trips are not documented"
    return ""
