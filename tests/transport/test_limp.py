"""What motors make of the command of no torque."""

from __future__ import annotations

import msgspec
import numpy as np

from neon_edge.config import load_robot
from neon_edge.safety.limp import limp
from neon_edge.sim.launch import simulated
from tests.transport.inline import inline_robot


def test_every_family_answers_it_and_stays_limp() -> None:
    robot = msgspec.structs.replace(simulated(load_robot("sim")), base=None)
    pose = np.linspace(-0.2, 0.3, len(robot.joints))
    with inline_robot(robot, pose.tolist()) as rig:
        stood = rig.body.positions()
        for _ in range(3):
            assert rig.robot.write(limp(len(pose), rig.clock.now_ns())) == 0
            asked_ns = rig.clock.now_ns()
            rig.clock.advance_ns(20_000_000)
            state = rig.robot.read()
        assert (state.received_ns >= asked_ns).all()
        assert np.abs(state.position - stood).max() < 2e-3
        assert rig.body.received().sum() == 0
        kp, kd = rig.body.gains()
        # Unitree's motors short their windings when they are off.
        shorted = [joint.motor.__struct_config__.tag == "unitree" for joint in robot.joints]
        assert not kp.any() and (kd > 0).tolist() == shorted
