"""What the world outside may say to the tick, and what it is told: e-stop in, heartbeat out."""

from __future__ import annotations

from contextlib import ExitStack, closing

from neon_edge.clock import Clock
from neon_edge.config import RobotConfig
from neon_edge.runtime.health import HealthWatch, Pressable, StopFlag
from neon_edge.runtime.spec import RunSpec
from neon_edge.transport.heartbeat import Pulse, open_heartbeat
from neon_edge.transport.robot import Robot
from neon_edge.transport.stop_input import open_stop_input


def watch_health(spec: RunSpec, robot: Robot, clock: Clock, opened: ExitStack) -> HealthWatch:
    """Over one second, with the software e-stop and the robot file's. Raises `DeviceMissing`."""
    stops: list[Pressable] = [StopFlag(spec.stop_flag)]
    if spec.robot.stop_input is not None:
        stopper = open_stop_input(spec.robot.stop_input, clock)
        stops.append(opened.enter_context(closing(stopper)))
    return HealthWatch(robot.counters, stops, round(spec.robot.rate_hz))


def open_pulse(robot: RobotConfig, clock: Clock, opened: ExitStack) -> Pulse | None:
    """The robot file's heartbeat, if it has one. Raises `DeviceMissing`."""
    if robot.heartbeat is None:
        return None
    return opened.enter_context(closing(open_heartbeat(robot.heartbeat, robot.buses, clock)))


def pulse_warnings(pulse: Pulse | None) -> list[str]:
    """What a person must hear of a heartbeat at the end."""
    if pulse is None or not pulse.failures:
        return []
    return [f"{pulse.failures} heartbeats could not be sent: a relay will have acted on them"]
