"""A robot file from a URDF or an MJCF loads, comes up and moves, and marks what it had to guess."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from neon_edge.cli.main import main
from neon_edge.config import DamiaoMotor, RobotConfig, load_robot
from neon_edge.config.from_urdf import MOTORS, robot_text
from neon_edge.errors import ConfigWrong
from neon_edge.sim.launch import simulated
from neon_edge.transport.load import check_load
from tests.bench.bench_closed_loop import follow
from tests.config.g1_table import SDK_ORDER
from tests.transport.inline import inline_robot

TWO = """<robot name="two">
  <joint name="waist_joint" type="revolute">
    <limit lower="-1" upper="2" velocity="3" effort="4"/>
  </joint>
  <joint name="fixed" type="fixed"/>
  <joint name="rail" type="prismatic"/>
  <joint name="finger" type="revolute"><mimic joint="waist_joint"/></joint>
  <joint name="arm_joint" type="continuous"/>
  <transmission><joint name="waist_joint"/></transmission>
</robot>"""
G1 = "<robot name='g1'>{}</robot>".format(
    "".join(
        f'<joint name="{name}_joint" type="revolute"><limit lower="{lower}" upper="{upper}" '
        f'effort="{effort}" velocity="{velocity}"/></joint>'
        for name, lower, upper, effort, velocity in SDK_ORDER
    )
)
MJCF = """<mujoco><compiler angle="{angle}"/>
<default>
  <joint damping="1" range="-30 30"/>
  <default class="arm">
    <joint range="-90 45"/><position kp="50" kv="2"/>
    <default class="wrist"><joint actuatorfrcrange="-3 3"/></default>
  </default>
</default>
<worldbody><body childclass="arm">
  <freejoint name="root"/>
  <joint name="shoulder"/>
  <body><joint name="wrist" class="wrist"/><joint name="rail" type="slide"/>
    <body childclass="main"><joint name="head"/><joint range="-10 20"/></body></body>
</body></worldbody>
<actuator>
  <position joint="shoulder" class="arm" ctrlrange="-1 0.5" forcerange="-20 20"/>
  <general joint="wrist" biastype="affine" gainprm="8" biasprm="0 -8 -0.5"/>
  <motor joint="head" gear="5" ctrlrange="-2 2"/>
</actuator></mujoco>"""


def generated(folder: Path, description: str, family: str, name: str = "r.urdf") -> RobotConfig:
    (folder / name).write_text(description)
    file = folder / "robot.toml"
    file.write_text(robot_text(folder / name, family, "can0", "none"))
    return load_robot(str(file))


@pytest.mark.parametrize("family", MOTORS)
@pytest.mark.parametrize("description", [TWO, G1], ids=["two", "g1"])
def test_it_loads_comes_up_and_follows(family: str, description: str, tmp_path: Path) -> None:
    robot = generated(tmp_path, description, family)
    check_load(robot)
    with inline_robot(simulated(robot)) as inline:
        clock = inline.clock
        period_ns = round(1e9 / robot.rate_hz)
        seen = follow(
            inline.robot, robot, 6.0, lambda: clock.sleep_until_ns(clock.now_ns() + period_ns)
        )
        assert not inline.robot.counters.missing.any()
        assert not inline.robot.counters.faults.any()
    assert (seen.error_rad < 0.08).all(), seen.error_rad
    assert ((seen.amplitude > 0.8) & (seen.amplitude < 1.1)).all(), seen.amplitude


@pytest.mark.parametrize("family", MOTORS)
def test_limits_are_the_descriptions_where_the_motor_has_them(family: str, tmp_path: Path) -> None:
    waist, arm = generated(tmp_path, TWO, family).joints
    assert (waist.name, arm.name) == ("waist", "arm")
    strong = 4.0 if family not in ("feetech",) else 2.9
    assert (waist.lower, waist.upper, waist.velocity, waist.effort) == (-1, 2, 3, strong)
    assert waist.motor.__struct_config__.tag == family
    assert -arm.lower == arm.upper == pytest.approx(np.pi, abs=0.012)
    text = (tmp_path / "robot.toml").read_text()
    assert "# Left out: rail (prismatic), finger (follows another joint)." in text
    # Of the arm, nothing was told.
    own = text.split('name = "arm"')[1]
    assert own.count("CHECK") == 9
    assert own.count("not in the description") == 4
    assert own.count("sets no limit") == 2


def test_what_a_motor_cannot_be_told_is_clipped_and_said(tmp_path: Path) -> None:
    robot = generated(tmp_path, G1, "dynamixel")
    knee = robot.joints[3]
    assert (knee.effort, knee.velocity) == (4.1, 4.8)
    text = (tmp_path / "robot.toml").read_text()
    assert "effort = 4.1  # CHECK: 139 there, more than XM430-W350 at 12 V takes" in text
    far = TWO.replace('lower="-1" upper="2"', 'lower="1" upper="5"')
    moved = generated(tmp_path, far, "feetech").joints[0]
    assert (moved.lower, moved.upper, moved.offset) == (1, 5, -3)
    wide = TWO.replace('lower="-1" upper="2"', 'lower="-1" upper="9"')
    cut = generated(tmp_path, wide, "feetech").joints[0]
    assert (cut.lower, cut.upper) == (-1, pytest.approx(5.26))
    assert cut.offset == pytest.approx(-2.13)


def test_motors_are_as_strong_as_the_joints_and_buses_as_many_as_they_need(tmp_path: Path) -> None:
    robot = generated(tmp_path, G1, "damiao")
    assert [bus.channel for bus in robot.buses] == ["can0", "can1"]
    assert [joint.bus for joint in robot.joints] == ["bus_1"] * 15 + ["bus_2"] * 14
    most = {}
    for joint in robot.joints:
        assert isinstance(joint.motor, DamiaoMotor)
        most[joint.effort] = joint.motor.torque_max
        assert joint.motor.feedback_id - joint.motor.id == 0x10
    assert most == {88: 200, 139: 200, 35: 40, 25: 40, 5: 10}
    lines = generated(tmp_path, G1, "unitree")
    assert len(lines.buses) == 2
    assert {joint.motor.id for joint in lines.joints} == set(range(15))


def test_an_mjcf_tells_gains_and_ranges_by_class_and_actuator(tmp_path: Path) -> None:
    robot = generated(tmp_path, MJCF.format(angle="degree"), "cia402", "one.xml")
    assert robot.joint_names == ["shoulder", "wrist", "head", "joint_4"]
    shoulder, wrist, head, last = robot.joints
    assert (shoulder.lower, shoulder.upper) == (-1, 0.5)
    assert (shoulder.kp, shoulder.kd, shoulder.effort) == (50, 2, 20)
    assert wrist.lower == pytest.approx(-np.pi / 2, abs=1e-6)
    assert (wrist.kp, wrist.kd, wrist.effort) == (8, 0.5, 3)
    assert head.upper == pytest.approx(np.pi / 6, abs=1e-6)
    assert head.effort == 10
    assert last.upper == pytest.approx(np.pi / 9, abs=1e-6)
    text = (tmp_path / "robot.toml").read_text()
    assert "# Left out: root (free), rail (slide)." in text
    assert "kp = 50.0\n" in text
    radians = MJCF.format(angle="radian").replace("-90 45", "-1.5 0.7").replace("-30 30", "-1 1")
    told = generated(tmp_path, radians.replace("-10 20", "-0.1 0.2"), "cia402", "one.xml")
    assert [(j.lower, j.upper) for j in told.joints[1:]] == [(-1.5, 0.7), (-1, 1), (-0.1, 0.2)]


def test_an_mjcf_that_includes_another_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "arm.xml").write_text(
        '<mujoco><worldbody><body><joint name="a" range="-9 9"/></body></worldbody></mujoco>'
    )
    scene = '<mujoco><include file="arm.xml"/></mujoco>'
    assert generated(tmp_path, scene, "moteus", "scene.xml").joint_names == ["a"]
    with pytest.raises(ConfigWrong, match=r"gone\.xml"):
        generated(tmp_path, scene.replace("arm", "gone"), "moteus", "scene.xml")


@pytest.mark.parametrize(
    ("description", "wrong", "fix"),
    [
        ("<robot/>", "no joint that turns", ""),
        (
            TWO.replace('"-1"', '"${low}"'),
            "joint 'waist_joint': its lower is not a number",
            "xacro",
        ),
        (TWO.replace('"-1"', '"inf"'), "not finite", ""),
        (TWO.replace('"-1"', '"2"'), "no room to move", "continuous"),
        (
            '<robot xmlns:xacro="http://www.ros.org/wiki/xacro"><xacro:include file="x"/></robot>',
            "this is a xacro",
            "xacro FILE",
        ),
        ("<robot", "cannot be read", ""),
        (MJCF.format(angle="degree").replace('class="wrist"/', 'class="wrst"/'), "'wrst'", ""),
        (MJCF.format(angle="degree").replace("-90 45", "-90"), "2 numbers", ""),
    ],
)
def test_what_makes_no_sense_is_refused_in_three_lines(
    description: str, wrong: str, fix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r.xml").write_text(description)
    assert main(["robot", "from-urdf", str(tmp_path / "r.xml")]) == 78
    told = capsys.readouterr().err
    assert wrong in told
    assert fix in told
    assert "Traceback" not in told


def test_the_verb_writes_a_whole_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "two.urdf").write_text(TWO)
    for words, channel in (([], "can0"), (["--family", "feetech"], "/dev/ttyUSB0")):
        assert main(["robot", "from-urdf", str(tmp_path / "two.urdf"), *words]) == 0
        robot = msgspec.toml.decode(capsys.readouterr().out, type=RobotConfig)
        assert (robot.name, robot.buses[0].channel) == ("two", channel)
