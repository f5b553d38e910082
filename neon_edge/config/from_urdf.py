"""A robot file from a URDF or an MJCF: joints in its order with its limits, and likely motors.

It loads and comes up against emulated motors as it is. What the description does not hold is
marked CHECK in a comment: ids, models, channels, signs, gains.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from neon_edge.config.described import DEFAULT_EFFORT, DEFAULT_VELOCITY, Described, Description
from neon_edge.config.mjcf import read_mjcf
from neon_edge.config.motor_models import FAMILIES, WHOLE_TURN, Model, choose
from neon_edge.config.urdf import read_urdf
from neon_edge.errors import ConfigWrong

MOTORS = tuple(FAMILIES)
FULL_EFFORT_RAD, DAMPED_S = 0.25, 0.05
"""Gains of ours: full effort this far from the goal; kd / kp, which is also how late it follows."""
STIFFEST, SOFTEST = 200.0, 0.5
NARROWEST = 0.05
"""rad. A joint with less travel than this has none."""


def read_description(path: Path) -> Description:
    """Raises `ConfigWrong` for what cannot be read, or has no joint that turns."""
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as failure:
        fix = "expand the xacro first: xacro FILE > robot.urdf" if "xacro" in path.name else ""
        raise ConfigWrong(
            f"{path.name} cannot be read", str(failure), fix or "check the path"
        ) from None
    found = read_mjcf(root, path.parent) if root.tag == "mujoco" else read_urdf(root)
    if not found.joints:
        raise ConfigWrong(
            f"{path.name} has no joint that turns", f"root element <{root.tag}>", "give a robot's"
        )
    return found


def robot_text(path: Path, family: str, channel: str, engines: str) -> str:
    """The whole file, as TOML."""
    found = read_description(path)
    parts = _spread(found.joints, FAMILIES[family].most)
    names = [joint.name.removesuffix("_joint") for joint in found.joints]
    if len(set(names)) < len(names):
        names = [joint.name for joint in found.joints]
    buses = ["bus"] if len(parts) == 1 else [f"bus_{k + 1}" for k in range(len(parts))]
    text = _head(path, found, engines)
    for place, bus in enumerate(buses):
        text += (
            f'\n[[buses]]\nname = "{bus}"\n{FAMILIES[family].bus}\n'
            f"channel = {json.dumps(_channel(channel, place))}  # CHECK\n"
        )
    named = iter(names)
    for bus, joints in zip(buses, parts, strict=True):
        for place, joint in enumerate(joints):
            text += _joint(next(named), bus, place + FAMILIES[family].first, joint, family)
    return text


def _head(path: Path, found: Description, engines: str) -> str:
    left_out = f"# Left out: {', '.join(found.left_out)}.\n#\n" if found.left_out else ""
    return (
        f"# From {path.name}: its joints, in its order, within its limits.\n#\n{left_out}"
        "# Whatever is marked CHECK is not in it, or more than the motor named there can be told.\n"
        "# Go through all of it, then find the motors (neon-edge bus ping), set their zeros\n"
        "# (bus home) and move each a little (bus wiggle JOINT) before anything else does.\n\n"
        f"name = {json.dumps(path.stem)}\nengines = {json.dumps(engines)}  # CHECK\n"
        'rate_hz = 50.0\nstop = "relax"  # CHECK: torque off at once, and whatever is up falls\n'
    )


def _spread(joints: Sequence[Described], most: int) -> list[list[Described]]:
    """Over as few buses as carry them, evenly and in order."""
    count = -(-len(joints) // most)
    share = -(-len(joints) // count)
    return [list(joints[k : k + share]) for k in range(0, len(joints), share)]


def _channel(first: str, place: int) -> str:
    """can0, can1, …; /dev/ttyUSB0, /dev/ttyUSB1, …"""
    digits = re.search(r"\d+$", first)
    if place == 0 or first == "sim":
        return first
    if digits is None:
        return f"{first}{place + 1}"
    return f"{first[: digits.start()]}{int(digits[0]) + place}"


def _joint(name: str, bus: str, number: int, joint: Described, family: str) -> str:
    velocity = abs(joint.velocity or 0.0) or DEFAULT_VELOCITY
    effort = abs(joint.effort or 0.0) or DEFAULT_EFFORT
    model = choose(family, effort, velocity)
    travel, lower, upper = _travel(name, joint, model)
    told = effort
    speed, effort = min(velocity, model.velocity), min(effort, model.effort)
    kp = joint.kp or max(min(effort / FULL_EFFORT_RAD, STIFFEST), SOFTEST)
    kp = min(kp, model.kp)
    kd = min(joint.kd or kp * DAMPED_S, model.kd)
    address = f"id = {number}"
    if family == "damiao":
        address += f", feedback_id = {number + 0x10}"
    keys = model.keys.format(effort=f"{effort:g}")
    return (
        f"\n[[joints]]\nname = {json.dumps(name)}\nbus = {json.dumps(bus)}\n{travel}"
        + _line("velocity", speed, joint.velocity and velocity, model)
        + _line("effort", effort, joint.effort and told, model)
        + _line("kp", kp, joint.kp, model)
        + _line("kd", kd, joint.kd, model)
        + "sign = 1  # CHECK: -1 where the motor turns against the joint\n"
        + _offset(lower, upper, model)
        + f'motor = {{ family = "{family}", {address}, {keys} }}  # CHECK: {model.name}\n'
    )


def _line(key: str, value: float, told: float | None, model: Model) -> str:
    note = ""
    if not told:
        note = "  # CHECK: not in the description"
    elif value < told * (1 - 1e-9):
        note = f"  # CHECK: {told:g} there, more than {model.name} takes"
    return f"{key} = {_toml(value)}{note}\n"


def _travel(name: str, joint: Described, model: Model) -> tuple[str, float, float]:
    """Both ends' lines, and the ends: within what the motor can be told about their middle."""
    lower = -math.pi if joint.lower is None else joint.lower
    upper = math.pi if joint.upper is None else joint.upper
    if not upper - lower >= NARROWEST:
        raise ConfigWrong(
            f"joint {name!r} has no room to move",
            f"{lower:g} to {upper:g} rad",
            "correct the description: a hinge without limits is continuous",
        )
    open_ended = joint.lower is None or joint.upper is None
    room = min(2 * model.reach, upper - lower)
    if upper - lower > room:
        # What a servo of one turn keeps of it lies about zero, as far as the joint reaches there.
        lower = max(lower, min(-model.reach, upper - room))
        upper = lower + room
    lines = ""
    for key, value, there in (("lower", lower, joint.lower), ("upper", upper, joint.upper)):
        note = ""
        if open_ended:
            note = "  # CHECK: the description sets no limit"
        elif there is not None and abs(value - there) > 1e-9:
            note = f"  # CHECK: {there:g} there, more than {model.name} takes"
        lines += f"{key} = {_toml(value)}{note}\n"
    return lines, lower, upper


def _offset(lower: float, upper: float, model: Model) -> str:
    """Where the motor's middle must stand at the joint's, for a travel that zero does not halve."""
    offset = 0.0
    if max(abs(lower), abs(upper)) > model.reach:
        offset = -(lower + upper) / 2
    why = "set by `neon-edge bus home`"
    if model.reach == WHOLE_TURN:
        why = "mount the servo so that its one turn covers the travel"
    return f"offset = {_toml(offset)}  # CHECK: {why}\n"


def _toml(value: float) -> str:
    return f"{round(value, 6)!r}"
