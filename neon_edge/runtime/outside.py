"""What the world outside may say to the tick, and is told.

E-stop, IMU and sensors in, heartbeat out.
"""

from __future__ import annotations

from contextlib import ExitStack, closing

from neon_edge.clock import Clock
from neon_edge.config import RobotConfig
from neon_edge.heads.several import SeveralHeads
from neon_edge.runtime.child import Stop
from neon_edge.runtime.health import HealthWatch, Pressable, StopFlag
from neon_edge.runtime.spec import RunSpec
from neon_edge.transport.hearing import HearingCounters
from neon_edge.transport.heartbeat import Pulse, open_heartbeat
from neon_edge.transport.imu import ImuLink, open_imu
from neon_edge.transport.robot import Robot
from neon_edge.transport.sensors import LiveSensors
from neon_edge.transport.stop_input import open_stop_input

SENSORS_S = 5.0
"""What a sensor may take to its first word before a robot that is to be armed is refused."""
POLL_NS = 5_000_000


def watch_health(
    spec: RunSpec, robot: Robot, sensors: LiveSensors, clock: Clock, opened: ExitStack
) -> HealthWatch:
    """Over one second, with the software e-stop and the robot file's. Raises `DeviceMissing`."""
    stops: list[Pressable] = [StopFlag(spec.stop_flag)]
    if spec.robot.stop_input is not None:
        stopper = open_stop_input(spec.robot.stop_input, clock)
        stops.append(opened.enter_context(closing(stopper)))
    imu = None
    if spec.robot.imu is not None:
        imu = opened.enter_context(closing(open_imu(spec.robot.imu, clock)))
    window = round(spec.robot.rate_hz)
    return HealthWatch(robot.counters, stops, window, imu, sensors.readings.heard_ns)


def hear_sensors(
    robot: RobotConfig, heads: SeveralHeads, clock: Clock, opened: ExitStack
) -> LiveSensors:
    """The robot file's, for the heads to sense. Raises `DeviceMissing`."""
    sensors = opened.enter_context(closing(LiveSensors(robot.live_sensors, clock)))
    heads.readings = sensors.readings.by_name
    return sensors


def await_sensors(sensors: LiveSensors, clock: Clock, stop: Stop) -> bool:
    """Listen until each has spoken, or for `SENSORS_S`. False if the run was asked to stop."""
    give_up_ns = clock.now_ns() + round(SENSORS_S * 1e9)
    sensors.read()
    while sensors.unheard and clock.now_ns() < give_up_ns:
        if stop.requested:
            return False
        clock.sleep_until_ns(clock.now_ns() + POLL_NS)
        sensors.read()
    return True


def imu_warnings(imu: ImuLink | None) -> list[str]:
    """What a person must hear of an IMU at the end."""
    return [] if imu is None else heard_warnings("the IMU", "[imu]", imu.counters)


def sensor_warnings(sensors: LiveSensors) -> list[str]:
    """What a person must hear of live sensors at the end."""
    told = sensors.counters.items()
    each = (heard_warnings(f"sensor {name!r}", "its [[sensors]]", had) for name, had in told)
    return [warning for warnings in each for warning in warnings]


def heard_warnings(who: str, where: str, counters: HearingCounters) -> list[str]:
    """Of one sender, which the robot file has at `where`."""
    warnings = []
    if not counters.readings:
        warnings.append(f"{who} was never heard: is its sender on, and is {where} where it sends?")
    if counters.damaged or counters.old:
        warnings.append(
            f"of the messages of {who} {counters.readings} were taken, {counters.damaged} were no "
            f"sound reading, {counters.old} were not newer or another sender's"
        )
    return warnings


def open_pulse(robot: RobotConfig, clock: Clock, opened: ExitStack) -> Pulse | None:
    """The robot file's heartbeat, if it has one. Raises `DeviceMissing`."""
    if robot.heartbeat is None:
        return None
    return opened.enter_context(closing(open_heartbeat(robot.heartbeat, robot.buses, clock)))


def outside_warnings(pulse: Pulse | None, imu: ImuLink | None, sensors: LiveSensors) -> list[str]:
    """What a person must hear of all of them at the end."""
    return [*pulse_warnings(pulse), *imu_warnings(imu), *sensor_warnings(sensors)]


def pulse_warnings(pulse: Pulse | None) -> list[str]:
    """What a person must hear of a heartbeat at the end."""
    if pulse is None or not pulse.failures:
        return []
    return [f"{pulse.failures} heartbeats could not be sent: a relay will have acted on them"]
