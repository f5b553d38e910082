"""The actions of `neon-edge bus` that move a joint, or say where its zero is."""

from __future__ import annotations

import argparse
import math
import sys

import msgspec
import numpy as np

from neon_edge.cli.gravity import warn_before
from neon_edge.clock import Clock
from neon_edge.config import RobotConfig
from neon_edge.config.edit import own_file, write_offsets
from neon_edge.errors import UsageWrong
from neon_edge.safety.jog import Jog
from neon_edge.transport import open_robot
from neon_edge.transport.wiggle import wiggle_joint

GRAVITY = """Every joint on bus {bus!r} is switched on to hold where it stands, and off again at the
end: whatever gravity pulls on falls then. Support the robot, keep clear, hand on the e-stop."""
MOST_DEGREES = 10.0


def agreed(question: str) -> bool:
    """Whether a person types yes. Raises `UsageWrong` where nobody is there to."""
    try:
        return input(f"{question} [yes/no] ") == "yes"
    except EOFError:
        raise UsageWrong("nobody answers", f"asked: {question}", "add --yes") from None


def wiggle(robot: RobotConfig, options: argparse.Namespace, clock: Clock) -> int:
    """Move one joint a few degrees each way; say how it followed."""
    if len(options.what) != 1 or options.what[0] not in robot.joint_names:
        known = ", ".join(robot.joint_names)
        raise UsageWrong("wiggle needs one joint", f"known: {known}", "bus wiggle JOINT")
    if not 0 < options.degrees <= MOST_DEGREES:
        raise UsageWrong(f"{options.degrees:g} degrees is no wiggle", "", f"0 to {MOST_DEGREES:g}")
    place = robot.joint_names.index(options.what[0])
    print(GRAVITY.format(bus=robot.joints[place].bus), file=sys.stderr)
    if not options.yes and not agreed("Move it?"):
        return 1
    radians = math.radians(options.degrees)
    moved = wiggle_joint(robot, place, radians, clock, lambda part, pose: Jog(part, pose).command)
    print(
        f"{options.what[0]}: asked ±{options.degrees:g}°, went "
        f"{math.degrees(moved.low):+.2f}° to {math.degrees(moved.high):+.2f}°, "
        f"{moved.missing} of {moved.asked} answers missing"
    )
    if moved.stopped:
        print(f"stopped early: {moved.stopped}", file=sys.stderr)
    return 1 if moved.stopped else 0


def home(robot: RobotConfig, options: argparse.Namespace, clock: Clock) -> int:
    """Where the joints stand becomes their zero, in the robot file."""
    names = options.what or robot.joint_names
    unknown = sorted(set(names) - set(robot.joint_names))
    if unknown:
        raise UsageWrong(f"no joint called {unknown[0]!r}", "", "see the robot file")
    path, copied = own_file(options.robot)
    warn_before(robot, "finding the motors")
    with open_robot(msgspec.structs.replace(robot, base=None), clock) as opened:
        pose = opened.measure().astype(np.float64)
    offsets = {
        joint.name: joint.sign * float(q) + joint.offset
        for joint, q in zip(robot.joints, pose, strict=True)
        if joint.name in names
    }
    for name, offset in offsets.items():
        print(f"{name:<24}offset {offset:+.6f} rad")
    where = f"{path}, a copy of {copied}" if copied else str(path)
    if not options.yes and not agreed(f"Write these to {where}?"):
        return 1
    write_offsets(path, offsets, copied or path)
    print(f"wrote {where}", file=sys.stderr)
    return 0
