"""The command of no torque: all zero, rung OFF."""

from __future__ import annotations

import numpy as np

from neon_edge.clock import FakeClock
from neon_edge.safety.limp import limp
from neon_edge.types import JointCommand, Rung


def test_it_asks_for_nothing_but_states() -> None:
    clock = FakeClock(7)
    command = limp(5, clock.now_ns())
    assert type(command) is JointCommand
    for array in (command.position, command.velocity, command.kp, command.kd, command.torque):
        assert array.dtype == np.float32 and array.tolist() == [0.0] * 5
    assert command.base_velocity.dtype == np.float32
    assert command.base_velocity.tolist() == [0.0] * 3
    assert (command.rung, command.features_ns, command.at_ns) == (Rung.OFF, 0, 7)
