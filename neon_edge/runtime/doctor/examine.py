"""The whole examination, in the order in which a person would mend things."""

from __future__ import annotations

from collections.abc import Iterator

from neon_edge.config import RobotConfig
from neon_edge.runtime.doctor import host, load, robot, sensors, wires
from neon_edge.runtime.doctor.check import Check, Machine


def examine(machine: Machine, subject: RobotConfig | None) -> Iterator[Check]:
    """Rows about the machine, and about a robot if there is one. Nothing is moved or changed."""
    yield from host.real_time(machine)
    yield from host.kernel(machine)
    if subject is not None:
        yield from host.cores(machine, subject.runtime.cpus)
    yield from host.clocks(machine)
    yield from host.power(machine)
    yield from host.disk(robot.plans_of(subject) if subject else None)
    if subject is not None:
        yield from robot.plans(subject)
        yield from robot.heads(subject)
        yield from sensors.sensors(subject, machine)
        yield from wires.buses(subject, machine)
        yield from load.bus_load(subject)
        yield from robot.watchdogs(subject)
