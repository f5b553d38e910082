"""Servos that measure no current: their PWM bounds the torque, in position control."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from neon_edge.config import RobotConfig
from neon_edge.errors import ConfigWrong, DeviceMissing
from neon_edge.transport.protocol import dynamixel_table as table
from tests.transport.drive import TICK_NS, command
from tests.transport.families import robot_of
from tests.transport.inline import Inline, inline_robot

UNIT = 0.01
"""N·m a count of PWM; 885 of them are full."""


def robot(effort: float = 3.0, **motor: Any) -> RobotConfig:
    made = robot_of("dynamixel", model=1060, torque_by="pwm", **motor)
    joints = [msgspec.structs.replace(joint, effort=effort) for joint in made.joints]
    return msgspec.structs.replace(made, joints=joints)


def field(inline: Inline, address: int, width: int) -> list[int]:
    found = []
    for motor in inline.body.motors:
        _, values = motor.read(address, width)  # type: ignore[attr-defined]
        found.append(int.from_bytes(values, "little", signed=True))
    return found


def test_bring_up_chooses_the_mode_and_the_pwm_of_the_effort() -> None:
    with inline_robot(robot()) as inline:
        assert field(inline, table.OPERATING_MODE, 1) == [table.POSITION] * 3
        assert field(inline, table.GOAL_PWM, 2) == [300] * 3
        assert field(inline, table.CURRENT_LIMIT, 2) == [0] * 3


def test_a_joint_pulls_with_no_more_than_its_effort_and_says_how_much() -> None:
    config = robot(effort=0.5)
    with inline_robot(config, (0.0, 0.0, 0.0)) as inline:
        pose = inline.robot.enable()
        worst = np.zeros(3)
        for _ in range(10):
            state = inline.robot.read()
            worst = np.maximum(worst, np.abs(state.torque))
            inline.robot.write(command(config, pose + np.float32(1.2)))
            inline.clock.sleep_until_ns(inline.clock.now_ns() + TICK_NS)
        # 40 N·m/rad over 1.2 rad would be 48 N·m.
        assert worst == pytest.approx([0.5] * 3, abs=0.02)


def test_more_effort_than_full_pwm_gives_is_refused() -> None:
    with (
        pytest.raises(ConfigWrong, match="effort is more than its servo gives"),
        inline_robot(robot(effort=9.0)),
    ):
        pass


def test_a_file_that_counts_on_current_is_refused_by_such_a_servo() -> None:
    config = robot()
    with inline_robot(config) as inline:
        current = [
            msgspec.structs.replace(
                joint, motor=msgspec.structs.replace(joint.motor, torque_by="current")
            )
            for joint in config.joints
        ]
        wrong = msgspec.structs.replace(config, joints=current)
        with pytest.raises(DeviceMissing, match="refuses"), inline_robot(wrong, again=inline):
            pass
