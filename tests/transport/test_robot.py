"""Robots brought up, driven and unplugged, against emulated motors in a process of their own."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from neon_edge.config import SerialBus
from neon_edge.errors import BusFailed
from neon_edge.sim import with_channels
from neon_edge.transport import open_bus, open_robot
from neon_edge.transport.protocol import dynamixel
from neon_edge.transport.protocol.dynamixel_table import GOAL_POSITION
from neon_edge.types import BusFrame, Rung
from tests.transport.drive import CLOCK, rest, settled, ticks
from tests.transport.two_families import (
    Start,
    only,
    patient,
    two_families,
    with_joint,
)


@pytest.mark.parametrize("fast", [False, True])
def test_every_joint_follows_a_slow_sine_and_no_command_is_lost(start: Start, fast: bool) -> None:
    config = patient(two_families())
    if fast:
        buses = [
            msgspec.structs.replace(bus, fast_sync_read=True) if isinstance(bus, SerialBus) else bus
            for bus in config.buses
        ]
        config = msgspec.structs.replace(config, buses=buses)
    sim = start(config)
    with open_robot(with_channels(config, sim.channels), CLOCK) as robot:
        pose = robot.enable()
        assert np.abs(pose - sim.positions()).max() < 0.003
        times = np.arange(100) * 0.02
        amplitude = np.array([min(0.2, 0.5 * j.upper, -0.9 * j.lower) for j in config.joints])
        goals = [pose + amplitude * np.sin(2 * np.pi * 0.5 * t) for t in times]
        sent = ticks(robot, config, goals)
        counters = robot.counters
        state = robot.read()

        assert sent == 29 * 100
        assert (counters.sent == 101).all()  # one hold by `enable`
        assert settled(sim, int(counters.sent.sum())) == counters.sent.sum()
        assert (sim.received() == counters.sent).all()
        assert (counters.received == 100).all()
        assert (counters.missing == 0).all()
        assert (counters.faults == 0).all()
        assert all(c.crc_errors == c.frames_dropped == 0 for c in robot.bus_counters.values())
        # Damping against standing still makes a joint lag by kd / kp, as a real one does.
        lag = np.array([(joint.kd + 0.05) / joint.kp for joint in config.joints])
        phase = 2 * np.pi * 0.5 * (times[-1] - lag)
        assert np.abs(state.position - pose - amplitude * np.sin(phase)).max() < 0.04
        # Legs are quick enough to follow each tick's step; the slower arms smooth them out.
        speed = np.pi * amplitude * np.cos(phase)
        assert np.abs(state.velocity - speed)[15:].max() < 0.25
        assert (state.velocity * speed > 0).all()
        assert np.abs(state.position - sim.positions()).max() < 0.05
        assert (CLOCK.now_ns() - state.received_ns < 100_000_000).all()


def test_signs_and_offsets_are_the_motors_and_never_the_joints(start: Start) -> None:
    config = only(two_families(), "waist", "left_arm")
    for place in (0, 5):
        config = with_joint(config, place, sign=-1, offset=0.3)
    config = patient(config)
    sim = start(config)
    with open_robot(with_channels(config, sim.channels), CLOCK) as robot:
        pose = robot.enable()
        assert np.abs(pose).max() < 0.003
        goal = pose.copy()
        goal[[0, 5]] = 0.4
        ticks(robot, config, [goal] * 40)
        assert sim.positions()[[0, 5]] == pytest.approx([0.4, 0.4], abs=0.02)
        assert robot.read().position == pytest.approx(goal, abs=0.02)


def test_enabling_does_not_move_anything(start: Start) -> None:
    config = only(two_families(), "left_leg", "right_arm")
    # A joint whose range does not hold zero starts away from every register's default.
    config = with_joint(config, 0, lower=0.7)
    config = with_joint(config, 8, lower=0.5)
    config = patient(config)
    sim = start(config)
    before = sim.positions()
    assert before[0] > 0.7
    with open_robot(with_channels(config, sim.channels), CLOCK) as robot:
        robot.enable()
        rest(0.1)
        assert np.abs(sim.positions() - before).max() < 0.003


def test_enabling_overwrites_the_goal_that_another_program_left(start: Start) -> None:
    config = patient(only(two_families(), "left_arm"))
    sim = start(config)
    real = with_channels(config, sim.channels)
    bus = open_bus(real.buses[0], CLOCK)
    goals = [(joint.motor.id, (2500).to_bytes(4, "little")) for joint in config.joints]
    bus.send([BusFrame(0, dynamixel.sync_write(GOAL_POSITION, 4, goals))])
    assert settled(sim, 7) == 7
    bus.close()
    with open_robot(real, CLOCK) as robot:
        robot.enable()
        rest(0.1)
        assert np.abs(sim.positions()).max() < 0.003


def test_motors_that_are_off_are_asked_and_sent_nothing(start: Start) -> None:
    config = only(two_families(), "waist", "left_arm")
    sim = start(config)
    with open_robot(with_channels(config, sim.channels), CLOCK) as robot:
        assert ticks(robot, config, [np.full(10, 0.3)] * 5) == 0
        assert (robot.counters.received == 5).all()
        assert sim.received().sum() == 0
        assert np.abs(sim.positions()).max() < 0.003


def test_damp_and_off_take_the_stiffness_away_until_enabled_again(start: Start) -> None:
    config = only(two_families(), "waist", "left_arm")
    config = patient(config)
    sim = start(config)
    goal = np.full(10, 0.3)
    with open_robot(with_channels(config, sim.channels), CLOCK) as robot:
        robot.enable()
        assert ticks(robot, config, [goal * 0] * 5) == 50
        # Damiao keeps damping, Dynamixel has no such mode: its torque is off.
        assert ticks(robot, config, [goal] * 20, Rung.DAMP) == 3 * 20
        assert np.abs(sim.positions()).max() < 0.01
        assert ticks(robot, config, [goal] * 20) == 3 * 20
        assert sim.positions()[:3] == pytest.approx(goal[:3], abs=0.02)
        assert np.abs(sim.positions()[3:]).max() < 0.01

        assert ticks(robot, config, [goal] * 5, Rung.OFF) == 0
        off = sim.positions()
        assert ticks(robot, config, [goal + 0.15] * 20) == 0
        assert np.abs(sim.positions() - off).max() < 0.02
        assert (robot.counters.received == 70).all()

        pose = robot.enable()
        assert np.abs(pose - sim.positions()).max() < 0.003
        assert ticks(robot, config, [goal] * 60) == 10 * 60
        assert sim.positions() == pytest.approx(goal, abs=0.02)


def test_watchdogs_trip_on_silence_and_only_enable_brings_the_motors_back(start: Start) -> None:
    config = only(two_families(), "waist", "left_arm")
    sim = start(config)
    with open_robot(with_channels(config, sim.channels), CLOCK) as robot:
        pose = robot.enable()
        ticks(robot, config, [pose] * 5)
        CLOCK.sleep_until_ns(CLOCK.now_ns() + 250_000_000)
        goal = pose + np.float32(0.3)
        ticks(robot, config, [goal] * 20)
        assert (robot.counters.faults != 0).all()
        assert np.abs(sim.positions() - pose).max() < 0.02
        robot.enable()
        assert (robot.counters.faults == 0).all()
        ticks(robot, config, [goal] * 60)
        assert sim.positions() == pytest.approx(goal, abs=0.02)


def test_leaving_takes_the_torque_off(start: Start) -> None:
    config = only(two_families(), "waist", "left_arm")
    sim = start(config)
    real = with_channels(config, sim.channels)
    with open_robot(real, CLOCK) as robot:
        pose = robot.enable()
        ticks(robot, config, [pose] * 3)
    with open_robot(real, CLOCK) as robot:
        # Commands reach disabled motors as questions only.
        assert ticks(robot, config, [pose + np.float32(0.3)] * 5) == 0
        assert np.abs(sim.positions() - pose).max() < 0.003


def test_an_unplugged_robot_is_a_failed_bus(start: Start) -> None:
    config = only(two_families(), "waist", "left_arm")
    for bus in ("waist", "left_arm"):
        part = only(config, bus)
        sim = start(part)
        with (
            pytest.raises(BusFailed, match=f"'{bus}'"),
            open_robot(with_channels(part, sim.channels), CLOCK) as robot,
        ):
            pose = robot.enable()
            ticks(robot, part, [pose] * 3)
            sim.unplug()
            ticks(robot, part, [pose] * 3)
