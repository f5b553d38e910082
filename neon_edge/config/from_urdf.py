"""A robot file from a URDF or an MJCF: joints in its order, with its limits; motors to fill in."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from neon_edge.errors import ConfigWrong

MOTORS = {
    "damiao": 'family = "damiao", id = {id}, feedback_id = {reply}',
    "robstride": 'family = "robstride", id = {id}, model = "rs03"',
    "odrive": 'family = "odrive", id = {id}',
    "moteus": 'family = "moteus", id = {id}, kp_max = 500.0, kd_max = 50.0',
    "cia402": 'family = "cia402", id = {id}, rated_torque = {effort}',
    "dynamixel": 'family = "dynamixel", id = {id}',
    "feetech": 'family = "feetech", id = {id}, stall_torque = {effort}',
    "unitree": 'family = "unitree", id = {id}, unconfirmed = true',
}
SERIAL = ("dynamixel", "feetech", "unitree")


class Limits(NamedTuple):
    """One joint's limits, SI."""

    name: str
    lower: float
    upper: float
    velocity: float
    effort: float


def read_joints(path: Path) -> list[Limits]:
    """The joints that turn, in the file's order. Raises `ConfigWrong` where there are none."""
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as failure:
        raise ConfigWrong(f"{path.name} cannot be read", str(failure), "check the path") from None
    joints = _mjcf(root) if root.tag == "mujoco" else _urdf(root)
    if not joints:
        raise ConfigWrong(
            f"{path.name} has no joint that turns", f"root element <{root.tag}>", "give a robot's"
        )
    return joints


def _urdf(root: ElementTree.Element) -> list[Limits]:
    found = []
    for joint in root.iter("joint"):
        limit = joint.find("limit")
        if joint.get("type") not in ("revolute", "continuous") or joint.find("mimic") is not None:
            continue
        values = {} if limit is None else limit.attrib
        found.append(
            Limits(
                joint.get("name", ""),
                float(values.get("lower", -math.pi)),
                float(values.get("upper", math.pi)),
                float(values.get("velocity", 1.0)),
                float(values.get("effort", 1.0)),
            )
        )
    return found


def _mjcf(root: ElementTree.Element) -> list[Limits]:
    compiler = root.find("compiler")
    angle = "degree" if compiler is None else compiler.get("angle", "degree")
    unit = 1.0 if angle == "radian" else math.pi / 180
    bodies = root.find("worldbody")
    found = []
    for joint in [] if bodies is None else bodies.iter("joint"):
        if joint.get("type", "hinge") != "hinge":
            continue
        turns = [float(x) * unit for x in joint.get("range", "").split()] or [-math.pi, math.pi]
        force = [abs(float(x)) for x in joint.get("actuatorfrcrange", "1").split()]
        found.append(Limits(joint.get("name", ""), turns[0], turns[1], 1.0, max(force)))
    return found


def robot_text(path: Path, family: str, channel: str, engines: str) -> str:
    """The whole file. An MJCF tells no speeds: 1 rad/s stands for them until you know better."""
    joints = read_joints(path)
    kind = "serial" if family in SERIAL else "can"
    fd = "fd = true\n" if family == "moteus" else ""
    head = (
        f"# From {path.name}: its joints, order and limits. Ids, ranges, signs and gains\n"
        "# are yours to fill in; split the joints over buses as they are wired.\n\n"
        f'name = "{path.stem}"\nengines = "{engines}"\nrate_hz = 50.0\n\n'
        f'[[buses]]\nname = "bus"\nkind = "{kind}"\nchannel = "{channel}"\n{fd}'
    )
    return head + "".join(_joint(k, joint, family) for k, joint in enumerate(joints))


def _joint(place: int, joint: Limits, family: str) -> str:
    motor = MOTORS[family].format(id=place + 1, reply=place + 0x101, effort=joint.effort)
    return (
        f'\n[[joints]]\nname = "{joint.name.removesuffix("_joint")}"\nbus = "bus"\n'
        f"lower = {joint.lower:.6f}\nupper = {joint.upper:.6f}\n"
        f"velocity = {joint.velocity or 1.0}\neffort = {joint.effort or 1.0}\n"
        f"kp = 20.0\nkd = 1.0\nmotor = {{ {motor} }}\n"
    )
