"""What the world outside may say to the tick, and is told: e-stop and IMU in, heartbeat out."""

from __future__ import annotations

from contextlib import ExitStack, closing

from neon_edge.clock import Clock
from neon_edge.config import RobotConfig
from neon_edge.runtime.health import HealthWatch, Pressable, StopFlag
from neon_edge.runtime.spec import RunSpec
from neon_edge.transport.heartbeat import Pulse, open_heartbeat
from neon_edge.transport.imu import ImuLink, open_imu
from neon_edge.transport.robot import Robot
from neon_edge.transport.stop_input import open_stop_input


def watch_health(spec: RunSpec, robot: Robot, clock: Clock, opened: ExitStack) -> HealthWatch:
    """Over one second, with the software e-stop and the robot file's. Raises `DeviceMissing`."""
    stops: list[Pressable] = [StopFlag(spec.stop_flag)]
    if spec.robot.stop_input is not None:
        stopper = open_stop_input(spec.robot.stop_input, clock)
        stops.append(opened.enter_context(closing(stopper)))
    imu = None
    if spec.robot.imu is not None:
        imu = opened.enter_context(closing(open_imu(spec.robot.imu, clock)))
    return HealthWatch(robot.counters, stops, round(spec.robot.rate_hz), imu)


def imu_warnings(imu: ImuLink | None) -> list[str]:
    """What a person must hear of an IMU at the end."""
    if imu is None:
        return []
    counters, warnings = imu.counters, []
    if not counters.readings:
        warnings.append("the IMU was never heard: is its sender on, and is [imu] where it sends?")
    if counters.damaged or counters.old:
        warnings.append(
            f"of the IMU's messages {counters.readings} were taken, {counters.damaged} were no "
            f"sound reading, {counters.old} were not newer or another sender's"
        )
    return warnings


def open_pulse(robot: RobotConfig, clock: Clock, opened: ExitStack) -> Pulse | None:
    """The robot file's heartbeat, if it has one. Raises `DeviceMissing`."""
    if robot.heartbeat is None:
        return None
    return opened.enter_context(closing(open_heartbeat(robot.heartbeat, robot.buses, clock)))


def outside_warnings(pulse: Pulse | None, imu: ImuLink | None) -> list[str]:
    """What a person must hear of both at the end."""
    return [*pulse_warnings(pulse), *imu_warnings(imu)]


def pulse_warnings(pulse: Pulse | None) -> list[str]:
    """What a person must hear of a heartbeat at the end."""
    if pulse is None or not pulse.failures:
        return []
    return [f"{pulse.failures} heartbeats could not be sent: a relay will have acted on them"]
