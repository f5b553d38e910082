"""Every robot file that we ship loads, fits its buses, and runs against emulated motors."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from neon_edge.clock import MonotonicClock
from neon_edge.config import load_robot
from neon_edge.config.find import SHIPPED
from neon_edge.sim import start_sim, with_channels
from neon_edge.sim.launch import simulated
from neon_edge.transport import open_robot
from neon_edge.transport.load import check_load
from tests.transport.drive import ticks

ROBOTS = sorted(path.stem for path in SHIPPED.glob("*.toml"))


@pytest.mark.parametrize("name", ROBOTS)
def test_it_comes_up_and_follows(name: str, tmp_path: Path) -> None:
    robot = simulated(load_robot(name))
    check_load(robot)
    joints = [msgspec.structs.replace(joint, motor=_patient(joint.motor)) for joint in robot.joints]
    robot = msgspec.structs.replace(robot, joints=joints)
    with (
        start_sim(robot, tmp_path) as sim,
        open_robot(with_channels(robot, sim.channels), MonotonicClock()) as opened,
    ):
        pose = opened.enable()
        assert np.abs(pose - sim.positions()).max() < 0.01
        middle = np.array([(j.lower + j.upper) / 2 for j in robot.joints], np.float32)
        goal = pose + np.clip(middle - pose, -0.1, 0.1)
        sent = ticks(opened, robot, [goal] * 60)
        assert sent == 60 * len(robot.joints)
        assert (opened.counters.faults == 0).all()
        assert sim.positions() == pytest.approx(goal, abs=0.03)


def _patient(motor: object) -> object:
    watched = getattr(motor, "watchdog_ms", 0)
    return msgspec.structs.replace(motor, watchdog_ms=300) if watched else motor
