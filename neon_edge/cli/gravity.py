"""What a person must hear before a torque goes off: whatever gravity pulls on falls."""

from __future__ import annotations

import sys

from neon_edge.config import RobotConfig

FALLS = "whatever gravity pulls on falls then. Support the robot and keep clear."


def warn_before(robot: RobotConfig, deed: str) -> None:
    """On stderr, before `deed` takes the torque off the motors of these buses."""
    buses = ", ".join(repr(bus.name) for bus in robot.buses)
    print(f"warning: {deed} takes the torque off on bus {buses}: {FALLS}", file=sys.stderr)


def warn_of_run(robot: RobotConfig) -> None:
    """On stderr, before a run: its bring-up and its stop. Emulated motors hold nothing up."""
    if robot.simulated:
        return
    warn_before(robot, "finding the motors")
    when = "at once" if robot.stop == "relax" else f'behind its stop = "{robot.stop}"'
    print(f"warning: when this run stops, the torque goes off {when}", file=sys.stderr)
