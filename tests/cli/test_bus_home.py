"""`neon-edge bus home`: the pose a robot stands in becomes its zero, in its file."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from neon_edge.cli.bus_move import home
from neon_edge.clock import FakeClock
from neon_edge.config import find_robot, load_robot
from neon_edge.config.find import SHIPPED
from neon_edge.errors import ConfigWrong, UsageWrong
from neon_edge.sim.body import Body
from neon_edge.sim.launch import simulated
from tests.transport.inline import inline_buses

POSE = np.array([0.3, -0.2, 0.1, 0.25, 0.1, 0.5])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "arm.toml"
    text = (SHIPPED / "so101.toml").read_text(encoding="utf-8")
    # One joint whose motor turns the other way.
    path.write_text(text.replace("kd = 0.6\n", "kd = 0.6\nsign = -1\n", 1), encoding="utf-8")
    return path


def homed(file: Path, *names: str) -> np.ndarray:
    """Home these joints of an arm that stands at POSE; what is measured there afterwards."""
    before, clock = simulated(load_robot(str(file))), FakeClock()
    body = Body(before, clock.now_ns(), POSE.copy())
    with inline_buses(body, clock) as buses:
        options = Namespace(what=list(names), robot=str(file), yes=True)
        assert home(before, options, clock) == 0
        assert body.received().sum() == 0
        assert np.abs(body.positions() - POSE).max() < 0.01
    at_motor = np.array([j.sign * q + j.offset for j, q in zip(before.joints, POSE, strict=True)])
    assert list(buses) == ["arm"]
    after = load_robot(str(file)).joints
    return np.array(
        [j.sign * (q - j.offset) for j, q in zip(after, at_motor, strict=True)], np.float64
    )


def test_where_it_stands_is_zero_afterwards_whatever_its_sign(file: Path) -> None:
    assert load_robot(str(file)).joints[0].sign == -1
    assert homed(file) == pytest.approx(np.zeros(6), abs=2e-3)
    # And again, from a file that has offsets.
    assert homed(file) == pytest.approx(np.zeros(6), abs=2e-3)


def test_only_the_joints_that_are_named(file: Path) -> None:
    found = homed(file, "elbow_flex", "gripper")
    assert found[[2, 5]] == pytest.approx([0, 0], abs=2e-3)
    assert found[[0, 1, 3, 4]] == pytest.approx(POSE[[0, 1, 3, 4]], abs=2e-3)


def test_an_unknown_joint_opens_nothing(file: Path) -> None:
    robot = load_robot(str(file))
    with pytest.raises(UsageWrong, match="'tail'"):
        home(robot, Namespace(what=["tail"], robot=str(file), yes=True), FakeClock())


def test_a_shipped_robot_is_copied_to_its_owner_and_the_package_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    shipped = (SHIPPED / "so101.toml").read_text(encoding="utf-8")
    before, clock = simulated(load_robot("so101")), FakeClock()
    with inline_buses(Body(before, clock.now_ns(), POSE.copy()), clock):
        assert home(before, Namespace(what=[], robot="so101", yes=True), clock) == 0
    own = tmp_path / "neon-edge" / "robots" / "so101.toml"
    assert (SHIPPED / "so101.toml").read_text(encoding="utf-8") == shipped
    assert find_robot("so101") == own
    assert load_robot("so101").joints[0].offset != 0
    assert f"wrote {own}, a copy of {SHIPPED / 'so101.toml'}" in capsys.readouterr().err


def test_a_file_in_a_directory_of_somebody_else_is_refused_before_anything_opens(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    robot = load_robot(str(file))
    monkeypatch.setattr("neon_edge.config.edit.os.access", lambda *_: False)
    with pytest.raises(ConfigWrong, match="cannot be changed") as caught:
        home(robot, Namespace(what=[], robot=str(file), yes=True), FakeClock())
    assert str(file.parent) in caught.value.facts
