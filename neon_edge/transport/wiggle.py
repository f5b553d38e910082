"""One joint a few degrees each way and back, all others of its bus holding."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from neon_edge.clock import Clock
from neon_edge.config import RobotConfig
from neon_edge.errors import ConfigWrong
from neon_edge.transport.robot import open_robot
from neon_edge.types import Float32, JointCommand

SECONDS = 3.0
TICK_NS = 20_000_000

Command = Callable[[Float32, int], JointCommand]
"""A goal (joints,) in rad and the time now, made safe."""
MakeSafe = Callable[[RobotConfig, Float32], Command]
"""For a robot that stands at a measured pose."""


class Moved(NamedTuple):
    """How far the joint went, rad from where it stood, and how its motor answered."""

    low: float
    high: float
    asked: int
    missing: int


def wiggle_joint(
    robot: RobotConfig, place: int, amplitude: float, clock: Clock, make_safe: MakeSafe
) -> Moved:
    """Drive joint `place` through one slow sine of `amplitude` rad, then take the torque off.

    Opens that joint's bus alone; every command is safety's (`make_safe`). Raises `ConfigWrong`
    where the joint's limits leave no room.
    """
    joint = robot.joints[place]
    part = msgspec.structs.replace(
        robot,
        buses=[bus for bus in robot.buses if bus.name == joint.bus],
        joints=[each for each in robot.joints if each.bus == joint.bus],
    )
    here = part.joint_names.index(joint.name)
    with open_robot(part, clock) as opened:
        stands = float(opened.measure()[here])
        if not joint.lower <= stands - amplitude <= stands + amplitude <= joint.upper:
            raise ConfigWrong(
                f"joint {joint.name!r} has no room to wiggle",
                f"it stands at {stands:.3f} rad, limits {joint.lower:g} .. {joint.upper:g} rad",
                "move it by hand, or wiggle less",
            )
        pose = opened.enable()
        command = make_safe(part, pose)
        due_ns, seen = clock.now_ns(), [0.0]
        ticks = round(SECONDS * 1e9 / TICK_NS)
        for tick in range(ticks + 1):
            state = opened.read()
            seen.append(float(state.position[here]) - stands)
            goal = pose.copy()
            goal[here] += amplitude * math.sin(math.tau * tick / ticks)
            opened.write(command(goal, clock.now_ns()))
            due_ns += TICK_NS
            clock.sleep_until_ns(due_ns)
        missing = int(opened.counters.missing[here])
    return Moved(min(seen), max(seen), ticks + 1, missing)
