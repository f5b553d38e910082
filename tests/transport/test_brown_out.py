"""A motor whose power dips: seen, not driven again until it is armed, and then guarded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from neon_edge.transport.rounds import LIMP
from neon_edge.types import Float32, Rung
from tests.transport.drive import TICK_NS, command
from tests.transport.families import FAMILIES, PATIENT_MS, WATCHED, robot_of
from tests.transport.inline import Inline, inline_robot

STRUCK = 1
SEEN_TICKS = 25
"""Half a second, in which safety has long damped a joint that is silent (`joint_damp_after_ms`)."""


def _effort(motor: Any) -> float:
    return float(motor.dynamics.effort[motor.axis])


GUARDS: dict[str, Callable[[Any], object]] = {
    "damiao": lambda motor: dict(motor.registers),
    "robstride": lambda motor: (dict(motor.parameters), _effort(motor)),
    "odrive": lambda motor: (motor._position_gain, motor._velocity_gain),
    "moteus": lambda motor: (motor._timeout_ns, _effort(motor)),
    "cia402": lambda motor: {
        entry: value
        for entry, value in motor._objects.items()
        if entry >> 8 not in (0x6040, 0x607A, 0x60B2)
    },
    "dynamixel": lambda motor: (bytes(motor._table[96:104]), _effort(motor)),
    "feetech": lambda motor: (bytes(motor.table[48:50]), motor.table[motor._lock], _effort(motor)),
    "feetech_scs": lambda motor: (motor.table[motor._lock], _effort(motor)),
    "unitree": lambda motor: motor.mode,
}
"""What bounds a motor that is on: its watchdog, its torque, its gains, its mode."""


def run(inline: Inline, goal: Float32, ticks: int, rung: Rung = Rung.RUN) -> int:
    sent = 0
    for _ in range(ticks):
        inline.robot.read()
        sent += inline.robot.write(command(inline.config, goal, rung))
        inline.clock.advance_ns(TICK_NS)
        inline.body.advance(inline.clock.now_ns())
    inline.robot.read()
    return sent


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_a_fault_and_stays_where_it_is(family: str) -> None:
    with inline_robot(robot_of(family), (0.2, -0.3, 0.4)) as inline:
        pose = inline.robot.enable()
        run(inline, pose, 10)
        assert not inline.robot.counters.faults.any()
        inline.body.motors[STRUCK].brown_out()
        goal = pose + np.float32(0.3)
        for _ in range(SEEN_TICKS):
            run(inline, goal, 1)
            assert not inline.body.gains()[0][STRUCK], "it was switched on again"
        assert inline.robot.counters.faults[STRUCK]
        given = inline.body.motors[STRUCK].commands_received
        sent = run(inline, goal, 10)
        assert sent == 20
        assert inline.body.motors[STRUCK].commands_received == given
        assert inline.robot.counters.faults[STRUCK]
        assert not np.delete(inline.robot.counters.faults, STRUCK).any()
        assert abs(inline.body.positions()[STRUCK] - pose[STRUCK]) < 0.02


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dark_ns", [0, 150_000_000])
def test_arming_it_again_puts_back_all_that_guards_it(family: str, dark_ns: int) -> None:
    guards = GUARDS[family]
    with inline_robot(robot_of(family), (0.2, -0.3, 0.4)) as inline:
        motors = inline.body.motors
        pose = inline.robot.enable()
        run(inline, pose, 10)
        before = [guards(motor) for motor in motors]
        motors[STRUCK].brown_out(dark_ns)
        run(inline, pose, SEEN_TICKS)
        run(inline, pose, 20, Rung.DAMP)
        pose = inline.robot.enable()
        run(inline, pose, 3)
        assert [guards(motor) for motor in motors] == before
        assert not inline.robot.counters.faults.any()
        assert run(inline, pose + np.float32(0.2), 60) == 180
        assert inline.body.positions() == pytest.approx(pose + 0.2, abs=0.02)


@pytest.mark.parametrize("family", WATCHED)
def test_motors_that_have_tripped_are_sent_no_goal(family: str) -> None:
    with inline_robot(robot_of(family)) as inline:
        pose = inline.robot.enable()
        run(inline, pose, 5)
        inline.clock.advance_ns(PATIENT_MS * 2_000_000)
        inline.body.advance(inline.clock.now_ns())
        goal = pose + np.float32(0.3)
        run(inline, goal, 8)  # an ODrive tells its state ten times a second
        given = inline.body.received().sum()
        assert run(inline, goal, 10) == 0
        assert inline.body.received().sum() == given
        assert inline.robot.counters.faults.all()
        assert np.abs(inline.body.positions() - pose).max() < 0.02


@pytest.mark.parametrize("family", ["dynamixel", "feetech", "feetech_scs"])
def test_of_many_servos_the_one_that_was_silent_is_looked_at_first(family: str) -> None:
    with inline_robot(robot_of(family, 20)) as inline:
        pose = inline.robot.enable()
        run(inline, pose, 45)
        inline.body.motors[4].brown_out()
        dark_ticks = 8
        run(inline, pose, dark_ticks + 4)
        assert inline.robot.counters.faults[4] == LIMP


@pytest.mark.parametrize("family", FAMILIES)
def test_a_motor_that_is_hot_is_a_fault_and_sent_no_goal(family: str) -> None:
    with inline_robot(robot_of(family, 12)) as inline:
        pose = inline.robot.enable()
        run(inline, pose, 5)
        inline.body.motors[STRUCK].overheat(True)
        goal = pose + np.float32(0.3)
        run(inline, goal, 8)
        given = inline.body.motors[STRUCK].commands_received
        assert run(inline, goal, 5) == 5 * 11
        assert inline.robot.counters.faults[STRUCK]
        assert inline.body.motors[STRUCK].commands_received == given
