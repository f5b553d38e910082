"""By hand or by head: inside the limits, a step at a time, and never a NaN."""

import numpy as np
import pytest

from neon_edge.errors import ConfigWrong
from neon_edge.safety.jog import Jog
from neon_edge.types import Rung
from tests.safety.bench import N, robot

MEASURED = np.array([0.5, -0.5, 0.0, 0.25], dtype=np.float32)


def test_the_first_command_leaves_the_measured_pose_by_one_step_at_most() -> None:
    jog = Jog(robot(), MEASURED)
    command = jog.command(np.full(N, 9.0, dtype=np.float32), 7)
    steps = [joint.velocity / 50 for joint in robot().joints]
    assert (command.position - MEASURED).tolist() == pytest.approx(steps, rel=1e-4)
    assert (command.rung, command.at_ns) == (Rung.RUN, 7)


def test_it_ends_at_the_limits_and_no_further() -> None:
    jog = Jog(robot(), MEASURED)
    for _ in range(500):
        command = jog.command(np.full(N, -9.0, dtype=np.float32), 0)
    assert command.position.tolist() == pytest.approx([-0.98, -1.98, -2.98, -3.98], abs=1e-5)


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_a_goal_that_is_not_finite_is_not_taken(poison: float) -> None:
    jog = Jog(robot(), MEASURED)
    near = MEASURED + np.float32(0.01)
    before = jog.command(near, 0).position.copy()
    bad = near.copy()
    bad[2] = poison
    assert jog.command(bad, 0).position.tolist() == before.tolist() == near.tolist()


def test_gains_are_the_robot_files_and_the_base_stands() -> None:
    command = Jog(robot(), MEASURED).command(MEASURED, 0)
    assert command.kp.tolist() == [joint.kp for joint in robot().joints]
    assert command.kd.tolist() == [joint.kd for joint in robot().joints]
    assert not command.base_velocity.any()
    assert not command.torque.any()
    assert not command.velocity.any()
    assert (command.rung, command.features_ns) == (Rung.RUN, 0)
    assert type(command.rung) is Rung
    for name in ("position", "velocity", "kp", "kd", "torque", "base_velocity"):
        array = getattr(command, name)
        assert array.dtype == np.float32
        assert array.shape == (3 if name == "base_velocity" else N,)


def test_a_pose_that_is_not_finite_is_nothing_to_start_from() -> None:
    with pytest.raises(ConfigWrong, match="not a number"):
        Jog(robot(), np.array([0.0, np.nan, 0.0, 0.0], dtype=np.float32))
