"""Checks of the sensors that heads were trained with: where each one's readings come from."""

from __future__ import annotations

import math
from collections.abc import Iterator

from neon_edge.config import FixedSensor, RobotConfig
from neon_edge.config.sensors import Sensor, SerialSensor, UdpSensor
from neon_edge.errors import NeonEdgeError
from neon_edge.runtime.doctor.check import Check, Machine
from neon_edge.runtime.headset import admit_heads
from neon_edge.runtime.plans import admit, find_plans


def sensors(robot: RobotConfig, machine: Machine) -> Iterator[Check]:
    """One row a sensor that a head wants, and one a live sensor that none does.

    Nobody listens here: the port may be a running robot's.
    """
    try:
        directory = find_plans(robot.engines)
        heads = admit_heads(robot, directory, admit(directory, robot))
    except NeonEdgeError:
        return  # `robot.heads` has told it
    given = {sensor.name: sensor for sensor in robot.sensors}
    wanted = {spec.name: spec.shape[1:] for head in heads for spec in head.heads.sensors}
    for name, shape in wanted.items():
        yield _wanted(f"sensor {name}", shape, given.get(name), machine)
    for live in robot.live_sensors:
        if live.name not in wanted:
            yield Check(
                f"sensor {live.name}",
                "warning",
                "no head was trained with it, and the robot holds when it is silent",
                "remove it from the robot file, or accept it",
            )


def _wanted(row: str, shape: list[int], sensor: Sensor | None, machine: Machine) -> Check:
    if sensor is None:
        return Check(
            row,
            "failed",
            f"the heads were trained with it, shape {shape}, and the robot has none",
            "add it to [[sensors]] in the robot file",
        )
    if isinstance(sensor, FixedSensor):
        fits, told = len(sensor.value) == math.prod(shape), [len(sensor.value)]
    else:
        fits, told = sensor.shape in (shape, [math.prod(shape)]), sensor.shape
    if not fits:
        return Check(
            row,
            "failed",
            f"shape {told} in the robot file, {shape} in the checkpoint",
            "correct its value or shape in the robot file",
        )
    if isinstance(sensor, SerialSensor) and not machine.path(sensor.channel).exists():
        return Check(row, "failed", f"there is no {sensor.channel}", "plug it in, or correct it")
    return Check(row, "ok", f"shape {shape}, {_source(sensor)}")


def _source(sensor: Sensor) -> str:
    if isinstance(sensor, FixedSensor):
        return "a constant"
    if isinstance(sensor, SerialSensor):
        where = f"from {sensor.channel}"
    elif isinstance(sensor, UdpSensor):
        where = f"heard at {sensor.address}:{sensor.port}"
    else:
        where = f"heard at {sensor.path}"
    return f"{where}; holds after {sensor.stale_after_ms:g} ms of silence"
