"""How emulated joints move, against the textbook."""

import math

import numpy as np
import pytest

from neon_edge.sim.dynamics import Drive, Dynamics, Mechanics

MS = 1_000_000
FREE = Mechanics(0.01, 0.0, -10.0, 10.0, 100.0, 100.0)


def body(*axes: Mechanics) -> Dynamics:
    return Dynamics(axes, np.zeros(len(axes)), 0)


def test_a_critically_damped_joint_follows_the_closed_form() -> None:
    # kp = w² I and kd = 2 w I: q(t) = 1 - (1 + w t) exp(-w t).
    w, inertia = 10.0, 0.01
    dynamics = body(FREE)
    dynamics.drive(0, Drive(1.0, kp=w**2 * inertia, kd=2 * w * inertia))
    for t in (0.1, 0.2, 0.5, 1.0):
        dynamics.advance(int(t * 1e9))
        assert dynamics.position[0] == pytest.approx(1 - (1 + w * t) * math.exp(-w * t), abs=0.01)


def test_effort_and_velocity_are_limited() -> None:
    weak = FREE._replace(effort=0.02, velocity=3.0)
    dynamics = body(weak)
    dynamics.drive(0, Drive(8.0, kp=100.0, kd=1.0))
    dynamics.advance(100 * MS)
    # a = effort / inertia = 2 rad/s².
    assert dynamics.velocity[0] == pytest.approx(0.2, rel=0.02)
    assert dynamics.torque[0] == pytest.approx(0.02)
    dynamics.advance(10_000 * MS)
    assert abs(dynamics.velocity[0]) <= 3.0


def test_a_stop_stops() -> None:
    dynamics = body(FREE._replace(upper=0.5))
    dynamics.drive(0, Drive(5.0, kp=1.0, kd=0.1))
    dynamics.advance(900 * MS)
    assert dynamics.position[0] == 0.5
    assert dynamics.velocity[0] == 0.0


def test_stiff_gains_on_a_light_joint_stay_stable() -> None:
    dynamics = body(Mechanics(1e-3, 0.0, -10, 10, 40.0, 100.0))
    dynamics.drive(0, Drive(1.0, kp=500.0, kd=5.0))
    dynamics.advance(900 * MS)
    assert dynamics.position[0] == pytest.approx(1.0, abs=1e-3)


def test_damping_alone_slows_a_moving_joint() -> None:
    dynamics = body(FREE)
    dynamics.drive(0, Drive(0.0, torque=0.1))
    dynamics.advance(200 * MS)
    fast = dynamics.velocity[0]
    dynamics.drive(0, Drive(0.0, kd=0.1))
    dynamics.advance(700 * MS)
    assert fast > 1.0
    assert abs(dynamics.velocity[0]) < 0.05 * fast


def test_a_released_joint_has_no_torque() -> None:
    dynamics = body(FREE)
    dynamics.drive(0, Drive(1.0, kp=1.0, kd=0.1))
    dynamics.advance(50 * MS)
    dynamics.release(0)
    dynamics.advance(60 * MS)
    assert dynamics.torque[0] == 0.0


def test_axes_do_not_touch_each_other_and_time_never_goes_back() -> None:
    dynamics = body(FREE, FREE)
    dynamics.drive(1, Drive(1.0, kp=1.0, kd=0.1))
    dynamics.advance(100 * MS)
    moved = dynamics.position.copy()
    dynamics.advance(50 * MS)
    assert moved[0] == 0.0 < moved[1]
    assert (dynamics.position == moved).all()


def test_a_machine_that_slept_does_not_integrate_the_night() -> None:
    dynamics = body(FREE)
    dynamics.drive(0, Drive(1.0, kp=1.0, kd=0.2))
    dynamics.advance(10**15)
    assert dynamics.position[0] == pytest.approx(1.0, abs=0.01)
