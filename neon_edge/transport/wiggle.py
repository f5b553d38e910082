"""One joint a few degrees each way and back, all others of its bus holding."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import NamedTuple

import msgspec
import numpy as np

from neon_edge.clock import Clock
from neon_edge.config import RobotConfig
from neon_edge.errors import ConfigWrong, DeviceMissing
from neon_edge.transport.heartbeat import Pulse, open_heartbeat
from neon_edge.transport.robot import Robot, open_robot
from neon_edge.transport.stop_input import Stopper, open_stop_input
from neon_edge.types import Float32, JointCommand, JointState

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
    stopped: str = ""
    """Why it ended early: the e-stop, a motor's fault, a motor that fell silent."""


def wiggle_joint(
    robot: RobotConfig, place: int, amplitude: float, clock: Clock, make_safe: MakeSafe
) -> Moved:
    """Drive joint `place` through one slow sine of `amplitude` rad, then take the torque off.

    Opens that joint's bus alone, beside the robot's e-stop input, which ends it, and its heartbeat,
    which beats while it moves. Every command is safety's (`make_safe`). Raises `ConfigWrong` where
    the joint's limits leave no room, `DeviceMissing` where the e-stop is pressed already.
    """
    joint = robot.joints[place]
    part = msgspec.structs.replace(
        robot,
        buses=[bus for bus in robot.buses if bus.name == joint.bus],
        joints=[each for each in robot.joints if each.bus == joint.bus],
        base=None,
    )
    here = part.joint_names.index(joint.name)
    with ExitStack() as opened:
        stop, pulse = _outside(robot, clock, opened)
        motors = opened.enter_context(open_robot(part, clock))
        stands = float(motors.measure()[here])
        if not joint.lower <= stands - amplitude <= stands + amplitude <= joint.upper:
            raise ConfigWrong(
                f"joint {joint.name!r} has no room to wiggle",
                f"it stands at {stands:.3f} rad, limits {joint.lower:g} .. {joint.upper:g} rad",
                "move it by hand, or wiggle less",
            )
        if stop is not None and stop.pressed:
            raise DeviceMissing(
                "the e-stop is pressed, or its input lost", "nothing was moved", "release it"
            )
        pose = motors.enable()
        command = make_safe(part, pose)
        due_ns, seen, stopped = clock.now_ns(), [0.0], ""
        ticks = round(SECONDS * 1e9 / TICK_NS)
        for tick in range(ticks + 1):
            state = motors.read()
            stopped = _speaks_against(part, motors, state, stop, clock.now_ns())
            if stopped:
                break
            seen.append(float(state.position[here]) - stands)
            goal = pose.copy()
            goal[here] += amplitude * math.sin(math.tau * tick / ticks)
            sent = command(goal, clock.now_ns())
            motors.write(sent)
            if pulse is not None:
                pulse.tick(sent.rung)
            due_ns += TICK_NS
            clock.sleep_until_ns(due_ns)
        missing = int(motors.counters.missing[here])
    return Moved(min(seen), max(seen), tick + 1, missing, stopped)


def _outside(
    robot: RobotConfig, clock: Clock, opened: ExitStack
) -> tuple[Stopper | None, Pulse | None]:
    """The robot file's e-stop input and heartbeat. Raises `DeviceMissing`."""
    stop, pulse = None, None
    if robot.stop_input is not None:
        stop = opened.enter_context(closing(open_stop_input(robot.stop_input, clock)))
    if robot.heartbeat is not None:
        beat = open_heartbeat(robot.heartbeat, robot.buses, clock)
        pulse = opened.enter_context(closing(beat))
    return stop, pulse


def _speaks_against(
    part: RobotConfig, motors: Robot, state: JointState, stop: Stopper | None, now_ns: int
) -> str:
    """Why it may not go on, or nothing."""
    if stop is not None and stop.pressed:
        return "the e-stop was pressed, or its input lost"
    faulty = int(motors.counters.faults.argmax())
    if motors.counters.faults[faulty]:
        code = int(motors.counters.faults[faulty])
        return f"joint {part.joint_names[faulty]!r}: its motor reports fault {code:#04x}"
    silent_ms = (now_ns - state.received_ns) / 1e6
    worst = int(np.argmax(silent_ms))
    if silent_ms[worst] > part.safety.joint_hold_after_ms:
        return f"joint {part.joint_names[worst]!r} has not answered for {silent_ms[worst]:.0f} ms"
    return ""
