"""A robot is a TOML file: joints by name, order, limits, motors, buses, safety and budgets."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from neon_edge.config.motors import Motor, Positive
from neon_edge.errors import ConfigWrong

NotNegative = Annotated[float, Meta(ge=0)]


class Joint(Struct, frozen=True, forbid_unknown_fields=True):
    """One joint: limits and gains in SI, and the motor that moves it."""

    name: str
    bus: str
    motor: Motor
    lower: float
    """rad"""
    upper: float
    """rad"""
    velocity: Positive
    """rad/s; no command moves faster."""
    effort: Positive
    """N·m"""
    kp: NotNegative = 20.0
    """N·m/rad"""
    kd: NotNegative = 1.0
    """N·m·s/rad"""
    sign: Literal[1, -1] = 1
    """-1 where the motor turns against the joint."""
    offset: float = 0.0
    """rad: motor position where the joint is at zero."""


class SerialBus(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="serial"):
    """A serial line. `channel` is a device, or "sim" for the emulated motors' own."""

    name: str
    channel: str
    baud: Annotated[int, Meta(gt=0)] = 1_000_000
    fast_sync_read: bool = False
    """All servos answer with one packet; X series firmware 45 and later."""


class CanBus(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="can"):
    """A CAN bus: `channel` is an interface (can0), unix:PATH, or "sim"."""

    name: str
    channel: str
    bit_rate: Annotated[int, Meta(gt=0)] = 1_000_000
    fd: bool = False


Bus = SerialBus | CanBus


class ClipCamera(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="clip"):
    """A recorded video as a camera: played at its own rate, over and over.

    `path` is a file, or package:NAME/FILE for one that an installed package carries.
    """

    name: str
    path: str


Camera = ClipCamera


class FixedSensor(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="fixed"):
    """A reading that never changes. Only a simulated robot may have one."""

    name: str
    value: list[float]


class SafetyLimits(Struct, frozen=True, forbid_unknown_fields=True):
    """When the robot holds, and how it starts."""

    features_hold_after_ms: Positive = 1000.0
    """Older features than this: hold the measured pose."""
    joint_hold_after_ms: Positive = 60.0
    """A joint silent for longer than this: hold."""
    ramp_s: Positive = 3.0
    """From the measured pose to the head's setpoint at start-up and after every hold."""
    position_margin_rad: NotNegative = 0.02
    """Commands stay this far inside each joint's limits."""
    start_outside_rad: NotNegative = 0.05
    """A joint measured further outside its limits than this refuses to start."""


class Budget(Struct, frozen=True, forbid_unknown_fields=True):
    """The p99 figures that `profile` holds the robot to."""

    tick_ms: Positive = 20.0
    lateness_ms: Positive = 2.0
    feature_age_ms: Positive = 1000.0


class RobotConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole robot file."""

    name: str
    engines: str
    """Name of a built recipe under engines/built, or a directory of plans."""
    joints: Annotated[list[Joint], Meta(min_length=1)]
    buses: Annotated[list[Bus], Meta(min_length=1)]
    cameras: list[Camera] = field(default_factory=list)
    sensors: list[FixedSensor] = field(default_factory=list)
    instruction: str = ""
    simulated: bool = False
    rate_hz: Annotated[float, Meta(gt=0, le=1000)] = 50.0
    base_velocity_limits: tuple[float, float, float] = (1.5, 0.5, 1.0)
    """m/s, m/s, rad/s: forward, sideways, turn."""
    safety: SafetyLimits = SafetyLimits()
    budget: Budget = Budget()

    @property
    def joint_names(self) -> list[str]:
        """Joint names, in the order of every joint array of this robot."""
        return [joint.name for joint in self.joints]


def check_robot(robot: RobotConfig) -> None:
    """What types cannot say: unique names, existing buses, ordered limits, nothing faked."""
    _unique("joint", [joint.name for joint in robot.joints])
    _unique("bus", [bus.name for bus in robot.buses])
    _unique("camera", [camera.name for camera in robot.cameras])
    buses = {bus.name: bus for bus in robot.buses}
    addresses: set[tuple[str, int]] = set()
    for joint in robot.joints:
        if joint.bus not in buses:
            raise ConfigWrong(
                f"joint {joint.name!r} is on a bus that does not exist",
                f"bus {joint.bus!r}; the robot has {', '.join(sorted(buses))}",
                "name one of them, or add the bus",
            )
        if not joint.lower < joint.upper:
            raise ConfigWrong(
                f"joint {joint.name!r} has no room to move",
                f"lower {joint.lower} rad, upper {joint.upper} rad",
                "lower must be below upper",
            )
        address = (joint.bus, joint.motor.id)
        if address in addresses:
            raise ConfigWrong(
                f"two joints share one motor on bus {joint.bus!r}",
                f"motor id {joint.motor.id}, second at joint {joint.name!r}",
                "give each motor its own id",
            )
        addresses.add(address)
    if not robot.simulated and (robot.sensors or any(b.channel == "sim" for b in robot.buses)):
        raise ConfigWrong(
            "a real robot cannot have simulated parts",
            'a bus with channel "sim" or a fixed sensor, and simulated = false',
            "name the real device, or set simulated = true",
        )


def _unique(what: str, names: list[str]) -> None:
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ConfigWrong(
            f"{what} names must be unique", f"twice: {', '.join(sorted(twice))}", "rename one"
        )
