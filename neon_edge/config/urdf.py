"""The joints of a URDF: revolute and continuous, in the file's order, with their limits."""

from __future__ import annotations

from xml.etree import ElementTree

from neon_edge.config.described import Described, Description, number
from neon_edge.errors import ConfigWrong

TURNS = ("revolute", "continuous")


def read_urdf(root: ElementTree.Element) -> Description:
    """Raises `ConfigWrong` for what is no number, and for a xacro that was not expanded."""
    if any("xacro" in element.tag for element in root.iter()):
        raise ConfigWrong(
            "this is a xacro, not a URDF",
            "it has xacro elements",
            "expand it first: xacro FILE > robot.urdf",
        )
    found = Description()
    for joint in root.iter("joint"):
        name, kind = joint.get("name", ""), joint.get("type")
        if kind is None or kind == "fixed":
            # Transmissions name joints without a type.
            continue
        if kind not in TURNS or joint.find("mimic") is not None:
            why = f"{kind}" if kind not in TURNS else "follows another joint"
            found.left_out.append(f"{name} ({why})")
            continue
        found.joints.append(_described(name, kind, joint.find("limit")))
    return found


def _described(name: str, kind: str, limit: ElementTree.Element | None) -> Described:
    told = {} if limit is None else limit.attrib
    one = Described(name)
    keys = (
        ("velocity", "effort") if kind == "continuous" else ("lower", "upper", "velocity", "effort")
    )
    for key in keys:
        if key in told:
            setattr(one, key, number(told[key], f"joint {name!r}: its {key}"))
    if kind == "revolute" and limit is not None:
        # The format's own default for either end.
        one.lower, one.upper = one.lower or 0.0, one.upper or 0.0
    return one
