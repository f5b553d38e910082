"""Sensors of a robot file: live ones of every kind load, and what could not work is refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from neon_edge.config import FixedSensor, RobotConfig, load_robot
from neon_edge.config.check import check_robot
from neon_edge.config.check_sensors import AROUND
from neon_edge.config.sensors import Sensor, SerialSensor, UdpSensor, UnixSensor
from neon_edge.errors import ConfigWrong
from tests.config.test_robot_file import GOOD, load

SIM = load_robot("sim")
LIVE = """
[[sensors]]
name = "force"
kind = "udp"
shape = [6]
port = 47300
[[sensors]]
name = "depth"
kind = "unix"
shape = [1, 64, 64]
path = "/run/neon-edge/depth.sock"
stale_after_ms = 500
[[sensors]]
name = "imu"
kind = "serial"
shape = [9]
channel = "/dev/ttyUSB0"
"""


def test_a_real_robot_may_have_live_sensors_of_every_kind(tmp_path: Path) -> None:
    robot = load(tmp_path, GOOD + LIVE)
    assert isinstance(robot, RobotConfig)
    assert robot.live_sensors == [
        UdpSensor(name="force", shape=[6], port=47300, stale_after_ms=200),
        UnixSensor(
            name="depth", shape=[1, 64, 64], path="/run/neon-edge/depth.sock", stale_after_ms=500
        ),
        SerialSensor(name="imu", shape=[9], channel="/dev/ttyUSB0", baud=115_200),
    ]
    assert [sensor.size for sensor in robot.live_sensors] == [6, 4096, 9]
    assert not robot.simulated


def test_a_constant_is_a_simulated_robot_s(tmp_path: Path) -> None:
    constant = '[[sensors]]\nname = "gps"\nkind = "fixed"\nvalue = [0.0]\n'
    with pytest.raises(ConfigWrong, match="simulated parts"):
        load(tmp_path, GOOD + LIVE + constant)
    robot = load(tmp_path, "simulated = true\n" + GOOD + LIVE + constant)
    assert isinstance(robot, RobotConfig)
    assert [sensor.name for sensor in robot.live_sensors] == ["force", "depth", "imu"]
    assert SIM.live_sensors == []


def refused(*sensors: Sensor) -> str:
    with pytest.raises(ConfigWrong) as caught:
        check_robot(msgspec.structs.replace(SIM, sensors=[*sensors]))
    return f"{caught.value.wrong}: {caught.value.facts}"


def accepted(*sensors: Sensor) -> None:
    check_robot(msgspec.structs.replace(SIM, sensors=[*sensors]))


def test_names_are_unique() -> None:
    live = UdpSensor(name="force", shape=[6], port=9)
    assert "twice: force" in refused(live, FixedSensor(name="force", value=[1.0]))


def test_a_sensor_may_not_be_stale_at_every_tick() -> None:
    for least_ms, rate_hz in ((40.0, 50.0), (20.0, 100.0)):
        sensor = UdpSensor(name="a", shape=[1], port=9, stale_after_ms=least_ms)
        check_robot(msgspec.structs.replace(SIM, rate_hz=rate_hz, sensors=[sensor]))
    assert "hold at every tick" in refused(
        UdpSensor(name="a", shape=[1], port=9, stale_after_ms=39.9)
    )


def test_a_reading_must_fit_what_carries_it() -> None:
    most = (65_507 - AROUND) // 4
    accepted(UdpSensor(name="a", shape=[most], port=9))
    assert f"takes {AROUND + 4 * (most + 1)} bytes" in refused(
        UdpSensor(name="a", shape=[most + 1], port=9)
    )
    # The lidar that upstream declares by default is one of those that need the socket.
    assert "too large" in refused(UdpSensor(name="lidar", shape=[4096, 4], port=9))
    accepted(UnixSensor(name="lidar", shape=[4096, 4], path="a"))
    accepted(UnixSensor(name="depth", shape=[1, 224, 224], path="a"))
    assert "too large" in refused(UnixSensor(name="segmentation", shape=[20, 224, 224], path="a"))


def test_a_line_must_be_fast_enough() -> None:
    accepted(SerialSensor(name="tactile", shape=[14, 6], channel="a"))
    assert "stale before it is heard" in refused(
        SerialSensor(name="tactile", shape=[14, 6], channel="a", baud=9600)
    )
