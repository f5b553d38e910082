"""Checks of a robot: its file, its plans, its motors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from neon_edge.clock import Clock
from neon_edge.config import RobotConfig
from neon_edge.engine.plan import check_plan_file
from neon_edge.errors import NeonEdgeError
from neon_edge.runtime.doctor.check import Check
from neon_edge.runtime.headset import admit_heads, base_driver, drives, undriven
from neon_edge.runtime.plans import admit, find_plans
from neon_edge.transport.robot import open_robot


def failed(name: str, failure: NeonEdgeError) -> Check:
    """An error's three lines as a row."""
    found = f"{failure.wrong}: {failure.facts}" if failure.facts else failure.wrong
    return Check(name, "failed", found, failure.fix)


def plans_of(robot: RobotConfig) -> Path | None:
    """Where its plans are, if anywhere."""
    try:
        return find_plans(robot.engines)
    except NeonEdgeError:
        return None


def plans(robot: RobotConfig) -> Iterator[Check]:
    """They are there, fit this machine and this robot, and every file is as it was built."""
    try:
        directory = find_plans(robot.engines)
        manifest = admit(directory, robot)
    except NeonEdgeError as failure:
        yield failed("plans", failure)
        return
    yield Check("plans", "ok", f"{directory} fits this machine and this robot")
    parts = [*manifest.backbone.parts, *manifest.heads.parts]
    try:
        for part in parts:
            check_plan_file(directory, part)
    except NeonEdgeError as failure:
        yield failed("plan files", failure)
        return
    yield Check("plan files", "ok", f"{len(parts)} unchanged since they were built")


def heads(robot: RobotConfig) -> Iterator[Check]:
    """Who drives what: a head a row, what nobody drives, and where base velocities go."""
    try:
        directory = find_plans(robot.engines)
        found = admit_heads(robot, directory, admit(directory, robot))
    except NeonEdgeError as failure:
        yield failed("heads", failure)
        return
    for plan in found:
        joints, base = drives(plan, robot)
        what = f"{len(joints)} joints" + (" and the base" if base else "")
        yield Check(f"head {plan.name}", "ok", f"{plan.heads.head_type} drives {what}")
    still = undriven(found, robot)
    if still:
        yield Check("undriven joints", "ok", f"hold their pose: {', '.join(still)}")
    yield from _base(robot, base_driver(found, robot))


def _base(robot: RobotConfig, driver: str) -> Iterator[Check]:
    if robot.base is None and driver:
        yield Check(
            "base velocity",
            "warning",
            f"head {driver!r} gives one, and it goes nowhere",
            "add [base] to the robot file, or accept it",
        )
    if robot.base is None:
        return
    limits = " · ".join(
        f"{fastest:g} {unit}, {change:g} {unit}/s"
        for fastest, change, unit in zip(
            robot.base_velocity_limits,
            robot.base_acceleration,
            ("m/s", "m/s", "rad/s"),
            strict=True,
        )
    )
    yield Check(
        "base velocity",
        "ok" if driver else "warning",
        f"to {robot.base.channel}, from {driver or 'no head: it stands'}; {limits}; "
        f"stops {robot.base.watchdog_ms} ms behind our last word",
        "" if driver else "use a checkpoint with locomotion, or remove [base]",
    )


def watchdogs(robot: RobotConfig) -> Iterator[Check]:
    """Motors that go on by themselves when their host dies are named."""
    without = [joint.name for joint in robot.joints if joint.motor.watchdog_ms == 0]
    if without:
        yield Check(
            "motor watchdogs",
            "warning",
            f"none at {', '.join(without)}: these hold their last command when their host dies",
            "set watchdog_ms, or accept it",
        )
    else:
        longest = max(joint.motor.watchdog_ms for joint in robot.joints)
        yield Check("motor watchdogs", "ok", f"every motor stops after {longest} ms at most")


def motors(robot: RobotConfig, clock: Clock) -> Iterator[Check]:
    """Opens every bus and asks every motor who and where it is; no torque comes on."""
    try:
        with open_robot(robot, clock) as opened:
            pose = opened.measure()
    except NeonEdgeError as failure:
        yield failed("motors", failure)
        return
    outside = [
        f"{joint.name} at {angle:.3f} rad"
        for joint, angle in zip(robot.joints, pose.tolist(), strict=True)
        if not joint.lower <= angle <= joint.upper
    ]
    if outside:
        yield Check(
            "motors",
            "warning",
            f"{len(pose)} answered; outside their limits: {', '.join(outside)}",
            "move them inside by hand, or correct limits or offsets in the robot file",
        )
    else:
        yield Check("motors", "ok", f"{len(pose)} answered, all inside their limits")
