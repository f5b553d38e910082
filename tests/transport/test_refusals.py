"""What is refused before any motor moves, and what never becomes a byte."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from neon_edge.config import Joint
from neon_edge.errors import ConfigWrong, DeviceMissing
from neon_edge.sim import with_channels
from neon_edge.transport import open_robot
from neon_edge.types import Setpoint
from tests.transport.drive import CLOCK, command, settled, ticks
from tests.transport.two_families import (
    Start,
    only,
    two_families,
    with_joint,
    with_motor,
)


def test_a_missing_bus_and_a_missing_motor_are_named(start: Start) -> None:
    config = only(two_families(), "waist", "left_arm")
    sim = start(config)
    channels = sim.channels
    absent = {**channels, "waist": channels["waist"] + "-absent"}
    with (
        pytest.raises(DeviceMissing, match="'waist'"),
        open_robot(with_channels(config, absent), CLOCK),
    ):
        pass
    for place in (1, 4):
        more = with_motor(config, place, id=77)
        with (
            pytest.raises(DeviceMissing) as caught,
            open_robot(with_channels(more, channels), CLOCK),
        ):
            pass
        assert more.joints[place].name in caught.value.wrong
        assert "77" in caught.value.facts


@pytest.mark.parametrize(
    ("place", "stated", "both_sides"),
    [
        (1, {"position_max": 12.566}, ("12.566", "12.5")),
        (1, {"velocity_max": 50.0}, ("50", "40")),
        (1, {"torque_max": 60.0}, ("60", "54")),
        (1, {"feedback_id": 0x33}, ("51", "18")),
        (4, {"model": 1060}, ("1060", "1020")),
    ],
)
def test_a_motor_unlike_the_robot_file_is_refused_with_both_sides(
    start: Start, place: int, stated: dict[str, object], both_sides: tuple[str, str]
) -> None:
    config = only(two_families(), "waist", "left_arm")
    sim = start(config)
    wrong = with_motor(config, place, **stated)
    with (
        pytest.raises(ConfigWrong) as caught,
        open_robot(with_channels(wrong, sim.channels), CLOCK),
    ):
        pass
    assert config.joints[place].name in caught.value.wrong
    for side in both_sides:
        assert side in caught.value.facts


@pytest.mark.parametrize(
    ("place", "changes", "what"),
    [
        (1, {"upper": 13.0}, "travel"),
        (1, {"velocity": 41.0}, "velocity"),
        (1, {"effort": 55.0}, "effort"),
        (1, {"kp": 501.0}, "kp"),
        (1, {"kd": 5.1}, "kd"),
        (4, {"upper": 3.5}, "travel"),
        (4, {"effort": 30.0}, "effort"),
    ],
)
def test_a_joint_that_does_not_fit_its_motors_frames_is_refused_at_once(
    start: Start, place: int, changes: dict[str, object], what: str
) -> None:
    config = only(two_families(), "waist", "left_arm")
    sim = start(config)
    wrong = with_joint(config, place, **changes)
    with (
        pytest.raises(ConfigWrong, match=what),
        open_robot(with_channels(wrong, sim.channels), CLOCK),
    ):
        pass


def test_a_bus_carries_one_family(start: Start) -> None:
    config = only(two_families(), "waist", "left_arm")
    sim = start(config)
    for place, bus in ((4, "waist"), (1, "left_arm")):
        motor = msgspec.structs.replace(config.joints[place].motor, id=99)
        wrong = with_joint(config, place, bus=bus, motor=motor)
        with (
            pytest.raises(ConfigWrong, match="cannot carry"),
            open_robot(with_channels(wrong, sim.channels), CLOCK),
        ):
            pass


def test_nothing_but_a_joint_command_reaches_a_bus(start: Start) -> None:
    config = only(two_families(), "waist")
    sim = start(config)
    zero = np.zeros(3, np.float32)
    with open_robot(with_channels(config, sim.channels), CLOCK) as robot:
        robot.enable()
        with pytest.raises(TypeError, match="JointCommand"):
            robot.write(Setpoint(zero, zero, 0, 0))  # type: ignore[arg-type]
        assert settled(sim, 4) == 3


@pytest.mark.parametrize("bus", ["waist", "left_arm"])
def test_no_byte_is_made_of_what_is_not_finite_or_out_of_range(start: Start, bus: str) -> None:
    config = only(two_families(), bus)
    sim = start(config)
    with open_robot(with_channels(config, sim.channels), CLOCK) as robot:
        pose = robot.enable()
        ticks(robot, config, [pose])
        for bad in (np.nan, np.inf, -np.inf, 99.0):
            goal = pose.copy()
            goal[1] = bad
            with pytest.raises(ValueError, match=r"not finite|one turn"):
                robot.write(command(config, goal))
        held = int(robot.counters.sent.sum())
        assert held == 2 * len(config.joints)
        assert settled(sim, held + 1) == held


def test_the_shipped_simulated_robot_has_the_checkpoints_joints() -> None:
    from neon.data.action_space import G1_JOINTS

    robot = two_families()
    assert robot.joint_names == [joint.name for joint in G1_JOINTS]
    # Left and right are mirrored: roll and yaw change sides, pitch does not.
    joints: dict[str, Joint] = {joint.name: joint for joint in robot.joints}
    for name, left in joints.items():
        if not name.startswith("left_"):
            continue
        right = joints[name.replace("left_", "right_")]
        mirrored = (-left.upper, -left.lower) if "roll" in name or "yaw" in name else None
        assert (right.lower, right.upper) == (mirrored or (left.lower, left.upper))
