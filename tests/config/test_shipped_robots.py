"""Every robot file that we ship loads, fits its buses, and runs against emulated motors."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from neon_edge.clock import MonotonicClock
from neon_edge.config import load_robot
from neon_edge.config.find import SHIPPED
from neon_edge.config.from_urdf import MOTORS, robot_text
from neon_edge.errors import ConfigWrong
from neon_edge.sim import start_sim, with_channels
from neon_edge.sim.launch import simulated
from neon_edge.transport import open_robot
from neon_edge.transport.load import check_load
from tests.transport.drive import ticks

ROBOTS = sorted(path.stem for path in SHIPPED.glob("*.toml"))
URDF = """<robot name="two">
  <joint name="waist_joint" type="revolute">
    <limit lower="-1" upper="2" velocity="3" effort="4"/>
  </joint>
  <joint name="fixed" type="fixed"/>
  <joint name="arm_joint" type="continuous"/>
</robot>"""
MJCF = """<mujoco><default><joint damping="1"/></default><worldbody><body>
  <joint name="root" type="free"/>
  <joint name="waist_joint" range="-90 45" actuatorfrcrange="-7 7"/>
</body></worldbody></mujoco>"""


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


@pytest.mark.parametrize("family", MOTORS)
def test_a_urdf_becomes_a_robot_file(family: str, tmp_path: Path) -> None:
    (tmp_path / "two.urdf").write_text(URDF)
    file = tmp_path / "two.toml"
    file.write_text(robot_text(tmp_path / "two.urdf", family, "can0", "none"))
    waist, arm = load_robot(str(file)).joints
    assert (waist.name, arm.name) == ("waist", "arm")
    assert (waist.lower, waist.upper, waist.velocity, waist.effort) == (-1, 2, 3, 4)
    assert waist.motor.__struct_config__.tag == family
    assert arm.upper == pytest.approx(np.pi, abs=1e-6)


def test_an_mjcf_becomes_a_robot_file(tmp_path: Path) -> None:
    (tmp_path / "one.xml").write_text(MJCF)
    file = tmp_path / "one.toml"
    file.write_text(robot_text(tmp_path / "one.xml", "moteus", "can0", "none"))
    (waist,) = load_robot(str(file)).joints
    assert waist.lower == pytest.approx(-np.pi / 2, abs=1e-6)
    assert waist.effort == 7


def test_a_file_without_joints_is_refused(tmp_path: Path) -> None:
    (tmp_path / "none.urdf").write_text("<robot/>")
    with pytest.raises(ConfigWrong, match="no joint"):
        robot_text(tmp_path / "none.urdf", "damiao", "can0", "none")
