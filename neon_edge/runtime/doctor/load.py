"""How much of each bus's time the robot file asks for, judged as `run` will judge it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from neon_edge.config import RobotConfig
from neon_edge.errors import ConfigWrong
from neon_edge.runtime.doctor.check import Check
from neon_edge.transport.load import bus_loads, check_load


def bus_load(robot: RobotConfig) -> Iterator[Check]:
    """One row a bus that has joints; what cannot fit fails, and says what would."""
    for bus in robot.buses:
        joints = [joint for joint in robot.joints if joint.bus == bus.name]
        if not joints:
            continue
        name = f"bus {bus.name} load"
        alone = msgspec.structs.replace(robot, buses=[bus], joints=joints)
        try:
            check_load(alone)
            load = bus_loads(alone)[0]
        except ConfigWrong as failure:
            yield Check(name, "failed", f"{failure.wrong}: {failure.facts}", failure.fix)
            continue
        yield Check(
            name,
            "ok",
            f"{load.share:.0%} of the wire: {len(joints)} joints at {robot.rate_hz:g} Hz, "
            f"{load.rate_max_hz:.0f} Hz at most",
        )
