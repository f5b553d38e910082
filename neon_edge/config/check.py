"""What the types of a robot file cannot say: unique names, existing buses, ordered limits."""

from __future__ import annotations

import difflib
import math

from neon_edge.config.check_sensors import check_sensors
from neon_edge.config.heads import BASE
from neon_edge.config.motors import needs_opt_in
from neon_edge.config.robot import CanBus, Joint, RobotConfig, SafetyLimits
from neon_edge.config.stopping import CanBeat
from neon_edge.errors import ConfigWrong

LONGEST_DELAY_S = 0.2
"""A joint that answers later than this to its own head is not limited, it is misconfigured."""


def check_robot(robot: RobotConfig) -> None:
    """What types cannot say: unique names, existing buses, ordered limits, nothing faked."""
    _unique("joint", [joint.name for joint in robot.joints])
    _unique("bus", [bus.name for bus in robot.buses])
    _unique("camera", [camera.name for camera in robot.cameras])
    _heads(robot)
    buses = {bus.name: bus for bus in robot.buses}
    addresses: set[tuple[str, int]] = set()
    _ordered(robot.safety)
    _base(robot)
    _park(robot)
    _heartbeat(robot)
    _cpus(robot)
    check_sensors(robot.sensors, robot.rate_hz)
    period_ms = 1e3 / robot.rate_hz
    keys = ["head_hold_after_ms", "joint_hold_after_ms", "base_hold_after_ms"]
    for key in [*keys, "imu_silent_after_ms"] if robot.imu else keys:
        if getattr(robot.safety, key) < 2 * period_ms:
            raise ConfigWrong(
                "a healthy robot would hold at every tick",
                f"safety.{key} = {getattr(robot.safety, key)}, a tick is {period_ms:g} ms",
                f"set {key} to two ticks at least, {2 * period_ms:g}",
            )
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
        _prompt(joint)
        _opening(joint)
        why = needs_opt_in(joint.motor)
        if why:
            raise ConfigWrong(
                f"joint {joint.name!r} has a motor that nobody has confirmed here",
                why,
                "set unconfirmed = true at that motor once you accept it",
            )
        address = (joint.bus, joint.motor.id)
        if address in addresses:
            raise ConfigWrong(
                f"two joints share one motor on bus {joint.bus!r}",
                f"motor id {joint.motor.id}, second at joint {joint.name!r}",
                "give each motor its own id",
            )
        addresses.add(address)
    constant = len(robot.live_sensors) < len(robot.sensors)
    if not robot.simulated and (constant or robot.emulated):
        raise ConfigWrong(
            "a real robot cannot have simulated parts",
            'a bus or a base with channel "sim", an emulated IMU or a fixed sensor, '
            "and simulated = false",
            "name the real device, or set simulated = true",
        )


def _prompt(joint: Joint) -> None:
    delay_s = joint.acceleration_limit / joint.jerk_limit
    if delay_s > LONGEST_DELAY_S:
        raise ConfigWrong(
            f"joint {joint.name!r} would follow too late",
            f"acceleration {joint.acceleration_limit:g} rad/s² over jerk {joint.jerk_limit:g} "
            f"rad/s³ delays it by {delay_s:.3g} s; {LONGEST_DELAY_S:g} s at most",
            "raise its jerk, or lower its acceleration",
        )


def _opening(joint: Joint) -> None:
    if joint.opening is None:
        return
    ends = joint.opening
    if ends[0] == ends[1] or not all(joint.lower <= end <= joint.upper for end in ends):
        raise ConfigWrong(
            f"joint {joint.name!r} cannot open and close as its file says",
            f"opening {list(ends)} rad, limits {joint.lower} to {joint.upper} rad",
            "give two different positions inside its limits, that of value 0 first",
        )


def _base(robot: RobotConfig) -> None:
    limits = [*robot.base_velocity_limits, *robot.base_acceleration]
    if not all(math.isfinite(limit) and limit > 0 for limit in limits):
        raise ConfigWrong(
            "limits of the base must be positive numbers",
            f"base_velocity_limits {list(robot.base_velocity_limits)}, "
            f"acceleration {list(robot.base_acceleration)}",
            "give three of each: forward and sideways in metres, turn in radians",
        )
    period_ms = 1e3 / robot.rate_hz
    if robot.base is not None and robot.base.watchdog_ms < 2 * period_ms:
        raise ConfigWrong(
            "a healthy robot's base would stop at every tick",
            f"base.watchdog_ms = {robot.base.watchdog_ms}, a tick is {period_ms:g} ms",
            f"set it to two ticks at least, {math.ceil(2 * period_ms)}",
        )


def _heads(robot: RobotConfig) -> None:
    choices = robot.head_choices
    if not choices:
        raise ConfigWrong(
            "the robot has no head", "heads = []", "name one, or leave [heads] away for the default"
        )
    _unique("head", [choice.name for choice in choices])
    known = {*robot.joint_names, BASE}
    owners: dict[str, str] = {}
    for choice in choices:
        for driven in choice.drives:
            if driven not in known:
                near = difflib.get_close_matches(driven, sorted(known), n=1)
                raise ConfigWrong(
                    f"head {choice.name!r} drives a joint that the robot does not have",
                    repr(driven),
                    f"did you mean {near[0]!r}?" if near else f'name joints, or "{BASE}"',
                )
            refuse_shared(owners, driven, choice.name)


def refuse_shared(owners: dict[str, str], driven: str, head: str) -> None:
    """Note that `head` drives this; raises `ConfigWrong`, with both names, where another does."""
    other = owners.setdefault(driven, head)
    if other != head:
        what = "base velocity" if driven == BASE else f"joint {driven!r}"
        raise ConfigWrong(
            f"two heads drive {what}",
            f"{other!r} and {head!r}",
            "say in each head's `drives` what it alone drives",
        )


def _ordered(safety: SafetyLimits) -> None:
    for lower, upper in (
        ("features_scale_after_ms", "features_hold_after_ms"),
        ("joint_hold_after_ms", "joint_damp_after_ms"),
        ("bus_scale_missing", "bus_hold_missing"),
        ("bus_hold_missing", "bus_damp_missing"),
    ):
        if not getattr(safety, lower) < getattr(safety, upper):
            raise ConfigWrong(
                "a graver rung begins before a milder one",
                f"safety.{lower} = {getattr(safety, lower)}, {upper} = {getattr(safety, upper)}",
                f"{lower} must be below {upper}",
            )


def _heartbeat(robot: RobotConfig) -> None:
    if not isinstance(robot.heartbeat, CanBeat):
        return
    buses = [bus.name for bus in robot.buses if isinstance(bus, CanBus)]
    if robot.heartbeat.bus not in buses:
        raise ConfigWrong(
            f"the heartbeat is to go out on {robot.heartbeat.bus!r}, which is no CAN bus here",
            f"CAN buses: {', '.join(buses) or 'none'}",
            "name one of them, or choose another kind of heartbeat",
        )


def _cpus(robot: RobotConfig) -> None:
    cpus = robot.runtime.cpus
    if isinstance(cpus, str):
        return
    if not cpus or min(cpus) < 0 or len(set(cpus)) != len(cpus):
        raise ConfigWrong(
            "the control process needs cores, each named once",
            f"runtime.cpus = {cpus}",
            'name them as the kernel counts, from 0, or say "auto" or "any"',
        )


def _park(robot: RobotConfig) -> None:
    if robot.stop == "park" and robot.park is None:
        raise ConfigWrong(
            "the robot is to be parked and nobody says where",
            'stop = "park", and no [park]',
            "add [park] with a pose, or choose another stop",
        )
    joints = {joint.name: joint for joint in robot.joints}
    margin = robot.safety.position_margin_rad
    for name, position in robot.park.pose.items() if robot.park else ():
        joint = joints.get(name)
        if joint is None:
            raise ConfigWrong(
                f"the pose to park in names a joint {name!r} that does not exist",
                f"joints: {', '.join(joints)}",
                "name one of them",
            )
        if not joint.lower + margin <= position <= joint.upper - margin:
            raise ConfigWrong(
                f"joint {name!r} cannot be parked outside its limits",
                f"park.pose {position} rad, allowed {joint.lower + margin:g} to "
                f"{joint.upper - margin:g} rad",
                "choose a position inside them",
            )


def _unique(what: str, names: list[str]) -> None:
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ConfigWrong(
            f"{what} names must be unique", f"twice: {', '.join(sorted(twice))}", "rename one"
        )
