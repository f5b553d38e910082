"""The joints of an MJCF: hinges in the file's order, with their ranges and their actuators.

Defaults are applied as MuJoCo does: an element's own attributes, those of its class (its own, or
the nearest body's `childclass`), those of the classes around that one. A position actuator tells
gains, a control range and a force range; a motor tells a force. Source: mujoco.readthedocs.io,
"XML reference".
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from neon_edge.config.described import Described, Description, number
from neon_edge.errors import ConfigWrong

Attributes = dict[str, str]
Element = ElementTree.Element
ACTUATORS = ("position", "motor", "general")
MAIN = "main"


def read_mjcf(root: Element, folder: Path) -> Description:
    """Raises `ConfigWrong` for what is no number, and for an included file that is not there."""
    _include(root, folder, depth=0)
    compilers = {k: v for compiler in root.iter("compiler") for k, v in compiler.attrib.items()}
    unit = 1.0 if compilers.get("angle", "degree") == "radian" else math.pi / 180
    defaults = _Defaults(root)
    found = Description()
    for body, joint, childclass in _joints(root):
        told = defaults.of("joint", joint, childclass)
        name = joint.get("name") or f"{body or 'joint'}_{len(found.joints) + 1}"
        kind = "free" if joint.tag == "freejoint" else told.get("type", "hinge")
        if kind != "hinge":
            found.left_out.append(f"{name} ({kind})")
            continue
        one = Described(name)
        if "range" in told and told.get("limited") != "false":
            ends = _numbers(told["range"], f"joint {name!r}: its range", 2)
            one.lower, one.upper = (end * unit for end in ends)
        if "actuatorfrcrange" in told:
            one.effort = _force(told["actuatorfrcrange"], name)
        found.joints.append(one)
    by_name = {one.name: one for one in found.joints}
    for actuators in root.iter("actuator"):
        for actuator in actuators:
            known = by_name.get(actuator.get("joint", ""))
            if actuator.tag in ACTUATORS and known is not None:
                _actuate(known, actuator.tag, defaults.of(actuator.tag, actuator, MAIN))
    return found


def _actuate(joint: Described, kind: str, told: Attributes) -> None:
    """What an actuator adds; the joint's own force limit stands before the actuator's."""
    what = f"joint {joint.name!r}: its actuator's"
    gear = abs(_numbers(told.get("gear", "1"), f"{what} gear")[0]) or 1.0
    force = told.get("forcerange")
    if force is None and kind == "motor":
        force = told.get("ctrlrange")
    if joint.effort is None and force is not None:
        joint.effort = _force(force, joint.name) * gear
    if kind == "motor":
        return
    kp, kd = told.get("kp"), told.get("kv")
    if kind == "general":
        if told.get("biastype") != "affine":
            return
        gain = _numbers(told.get("gainprm", "1"), f"{what} gainprm")
        bias = _numbers(told.get("biasprm", "0 0 0"), f"{what} biasprm")
        joint.kp, joint.kd = gain[0], -bias[2] if len(bias) > 2 else None
    else:
        joint.kp = number(kp, f"{what} kp") if kp else 1.0
        joint.kd = number(kd, f"{what} kv") if kd else None
    joint.kd = joint.kd or None
    if "ctrlrange" in told and told.get("ctrllimited") != "false":
        low, high = _numbers(told["ctrlrange"], f"{what} ctrlrange", 2)
        joint.lower = low if joint.lower is None else max(low, joint.lower)
        joint.upper = high if joint.upper is None else min(high, joint.upper)


class _Defaults:
    """Attributes by class and element, each class with those around it."""

    def __init__(self, root: Element) -> None:
        self._of: dict[str, dict[str, Attributes]] = {MAIN: {}}
        for top in root.findall("default"):
            self._gather(top, top.get("class", MAIN), {})

    def _gather(self, element: Element, name: str, around: dict[str, Attributes]) -> None:
        kept = self._of.setdefault(name, {})
        for tag, attributes in around.items():
            kept[tag] = attributes | kept.get(tag, {})
        for child in element:
            if child.tag != "default":
                kept[child.tag] = kept.get(child.tag, {}) | child.attrib
        for child in element.findall("default"):
            self._gather(child, child.get("class", name), kept)

    def of(self, tag: str, element: Element, childclass: str) -> Attributes:
        """An element's attributes, its defaults below them."""
        name = element.get("class") or childclass
        if name not in self._of:
            raise ConfigWrong(
                f"the file has no default class {name!r}", f"an element <{tag}>", "correct the file"
            )
        return self._of[name].get(tag, {}) | element.attrib


def _joints(root: Element) -> Iterator[tuple[str, Element, str]]:
    """Body name, joint and the childclass that it stands under, depth first as MuJoCo numbers."""
    for world in root.findall("worldbody"):
        yield from _of_body(world, MAIN)


def _of_body(body: Element, childclass: str) -> Iterator[tuple[str, Element, str]]:
    own = body.get("childclass") or childclass
    for child in body:
        if child.tag in ("joint", "freejoint"):
            yield body.get("name", ""), child, own
    for child in body:
        if child.tag in ("body", "frame"):
            yield from _of_body(child, own)


def _include(root: Element, folder: Path, depth: int) -> None:
    """Put the children of included files in the place of their `<include>`."""
    if depth > 8:
        raise ConfigWrong("files include one another without end", str(folder), "correct the file")
    for parent in list(root.iter()):
        for place, child in reversed(list(enumerate(parent))):
            if child.tag != "include":
                continue
            path = folder / child.get("file", "")
            try:
                inner = ElementTree.parse(path).getroot()
            except (OSError, ElementTree.ParseError) as failure:
                raise ConfigWrong(
                    f"{path.name} cannot be read", str(failure), "keep included files beside it"
                ) from None
            _include(inner, path.parent, depth + 1)
            parent[place : place + 1] = list(inner)


def _numbers(text: str, what: str, count: int = 0) -> list[float]:
    found = [number(part, what) for part in text.split()]
    if not found or (count and len(found) != count):
        raise ConfigWrong(
            f"{what} is not {count or 'some'} numbers", repr(text), "correct the file"
        )
    return found


def _force(text: str, name: str) -> float:
    return max(abs(end) for end in _numbers(text, f"joint {name!r}: its force range"))
