"""Every family through the same life: found, armed, driven, damped, starved, and brought back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from neon_edge.config import RobotConfig
from neon_edge.sim import Simulation, start_sim, with_channels
from neon_edge.transport import open_robot
from neon_edge.types import Rung
from tests.transport.drive import CLOCK, command, rest, settled, ticks
from tests.transport.families import DAMPING, FAMILIES, WATCHED, robot_of


class Rig:
    def __init__(self, family: str, folder: Path, **motor: object) -> None:
        self.config = robot_of(family, **motor)
        self.sim: Simulation = start_sim(self.config, folder)
        self.real: RobotConfig = with_channels(self.config, self.sim.channels)


@pytest.fixture
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    made = Rig(request.param, tmp_path)
    yield made
    made.sim.stop()


every_family = pytest.mark.parametrize("rig", FAMILIES, indirect=True)


@every_family
def test_joints_follow_and_no_command_is_lost(rig: Rig) -> None:
    with open_robot(rig.real, CLOCK) as robot:
        pose = robot.enable()
        assert np.abs(pose - rig.sim.positions()).max() < 0.004
        times = np.arange(60) * 0.02
        goals = [pose + 0.3 * np.float32(np.sin(np.pi * t)) for t in times]
        assert ticks(robot, rig.config, goals) == 3 * 60
        assert settled(rig.sim, 3 * 61) == 3 * 61
        counters = robot.counters
        assert (counters.sent == 61).all()
        # None goes missing: test_lossy.py, where no busy machine can keep an answer back.
        assert (counters.received >= 30).all()
        assert (counters.faults == 0).all()
        state = robot.read()
        assert np.abs(state.position - goals[-1]).max() < 0.06
        assert np.abs(state.position - rig.sim.positions()).max() < 0.05
        assert (state.velocity < 0).all()


@every_family
def test_joints_stand_where_they_are_told_in_their_own_sense(rig: Rig) -> None:
    with open_robot(rig.real, CLOCK) as robot:
        pose = robot.enable()
        goal = pose + np.array([0.3, -0.2, 0.1], np.float32)
        ticks(robot, rig.config, [goal] * 40)
        assert rig.sim.positions() == pytest.approx(goal, abs=0.02)
        assert robot.read().position == pytest.approx(rig.sim.positions(), abs=0.01)


@every_family
def test_enabling_and_leaving_move_nothing(rig: Rig) -> None:
    before = rig.sim.positions()
    with open_robot(rig.real, CLOCK) as robot:
        assert ticks(robot, rig.config, [before + 0.3] * 3) == 0
        assert rig.sim.received().sum() == 0
        robot.enable()
        rest(0.1)
        assert np.abs(rig.sim.positions() - before).max() < 0.006
    with open_robot(rig.real, CLOCK) as robot:
        assert ticks(robot, rig.config, [before + 0.3] * 3) == 0
        assert np.abs(rig.sim.positions() - before).max() < 0.006


@every_family
def test_damp_holds_nothing_and_off_stays_off(rig: Rig, request: pytest.FixtureRequest) -> None:
    family = request.node.callspec.params["rig"]
    with open_robot(rig.real, CLOCK) as robot:
        pose = robot.enable()
        ticks(robot, rig.config, [pose] * 3)
        ticks(robot, rig.config, [pose + 0.4] * 15, Rung.DAMP)
        assert np.abs(rig.sim.positions() - pose).max() < 0.02
        back = ticks(robot, rig.config, [pose + 0.3] * 25)
        assert back == (75 if family in DAMPING else 0)
        ticks(robot, rig.config, [pose] * 3, Rung.OFF)
        rest(0.1)
        off = rig.sim.positions()
        assert ticks(robot, rig.config, [pose - 0.4] * 15) == 0
        assert np.abs(rig.sim.positions() - off).max() < 0.02
        pose = robot.enable()
        assert ticks(robot, rig.config, [pose + 0.2] * 30) == 90
        assert rig.sim.positions() == pytest.approx(pose + 0.2, abs=0.02)


@pytest.mark.parametrize("rig", WATCHED, indirect=True)
def test_silence_stops_the_motors_until_they_are_enabled_again(rig: Rig) -> None:
    with open_robot(rig.real, CLOCK) as robot:
        pose = robot.enable()
        ticks(robot, rig.config, [pose] * 3)
        rest(0.45)
        goal = pose + np.float32(0.3)
        ticks(robot, rig.config, [goal] * 15)
        assert (robot.counters.faults != 0).all()
        assert np.abs(rig.sim.positions() - pose).max() < 0.02
        robot.enable()
        assert (robot.counters.faults == 0).all()
        ticks(robot, rig.config, [goal] * 40)
        assert rig.sim.positions() == pytest.approx(goal, abs=0.02)


@every_family
def test_nothing_is_made_of_what_is_not_finite_or_out_of_range(rig: Rig) -> None:
    with open_robot(rig.real, CLOCK) as robot:
        pose = robot.enable()
        ticks(robot, rig.config, [pose])
        for bad in (np.nan, np.inf, -np.inf, 1e9):
            goal = pose.copy()
            goal[1] = bad
            with pytest.raises(ValueError, match=r"finite|turn|fit"):
                robot.write(command(rig.config, goal))
        assert settled(rig.sim, 7) == 6
