"""Robots brought up, driven and unplugged, against emulated motors in a process of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from neon_edge.clock import MonotonicClock
from neon_edge.config import Joint, RobotConfig, SerialBus, load_robot
from neon_edge.errors import BusFailed, ConfigWrong, DeviceMissing
from neon_edge.sim import Simulation, start_sim, with_channels
from neon_edge.transport import Robot, open_bus, open_robot
from neon_edge.transport.protocol import dynamixel
from neon_edge.transport.protocol.dynamixel_table import GOAL_POSITION
from neon_edge.types import BusFrame, Float32, JointCommand, Rung, Setpoint

CLOCK = MonotonicClock()
TICK_NS = 20_000_000
Start = Callable[[RobotConfig], Simulation]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[Simulation] = []

    def begin(config: RobotConfig) -> Simulation:
        running.append(start_sim(config, tmp_path / str(len(running))))
        return running[-1]

    yield begin
    for sim in running:
        sim.stop()


def only(config: RobotConfig, *buses: str) -> RobotConfig:
    return msgspec.structs.replace(
        config,
        buses=[bus for bus in config.buses if bus.name in buses],
        joints=[joint for joint in config.joints if joint.bus in buses],
    )


def with_joint(config: RobotConfig, place: int, **changes: object) -> RobotConfig:
    joints = list(config.joints)
    joints[place] = msgspec.structs.replace(joints[place], **changes)
    return msgspec.structs.replace(config, joints=joints)


def with_motor(config: RobotConfig, place: int, **changes: object) -> RobotConfig:
    motor = msgspec.structs.replace(config.joints[place].motor, **changes)
    return with_joint(config, place, motor=motor)


def patient(config: RobotConfig) -> RobotConfig:
    """Watchdogs that a busy machine does not trip."""
    for place in range(len(config.joints)):
        config = with_motor(config, place, watchdog_ms=500)
    return config


def command(config: RobotConfig, position: Float32, rung: Rung = Rung.RUN) -> JointCommand:
    n = len(config.joints)

    def gains(of: str) -> Float32:
        return np.array([getattr(joint, of) for joint in config.joints], np.float32)

    zero = np.zeros(n, np.float32)
    return JointCommand(
        np.asarray(position, np.float32),
        zero,
        gains("kp"),
        gains("kd"),
        zero,
        np.zeros(3, np.float32),
        rung,
        0,
        0,
    )


def ticks(robot: Robot, config: RobotConfig, goals: list[Float32], rung: Rung = Rung.RUN) -> int:
    """One command a tick, never sooner; leaves the last answers read. Gives joint commands sent."""
    sent = 0
    for goal in goals:
        robot.read()
        sent += robot.write(command(config, goal, rung))
        CLOCK.sleep_until_ns(CLOCK.now_ns() + TICK_NS)
    robot.read()
    return sent


def rest(seconds: float) -> None:
    CLOCK.sleep_until_ns(CLOCK.now_ns() + int(seconds * 1e9))


def settled(sim: Simulation, expected: int) -> int:
    """Joint commands received, once they are all in or half a second has passed."""
    deadline_ns = CLOCK.now_ns() + 500_000_000
    while sim.received().sum() < expected and CLOCK.now_ns() < deadline_ns:
        CLOCK.sleep_until_ns(CLOCK.now_ns() + TICK_NS)
    return int(sim.received().sum())


@pytest.mark.parametrize("fast", [False, True])
def test_every_joint_follows_a_slow_sine_and_no_command_is_lost(start: Start, fast: bool) -> None:
    config = patient(load_robot("sim"))
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
        assert np.abs(state.velocity - speed)[15:].max() < 0.2
        assert (state.velocity * speed > 0).all()
        assert np.abs(state.position - sim.positions()).max() < 0.05
        assert (CLOCK.now_ns() - state.received_ns < 100_000_000).all()


def test_signs_and_offsets_are_the_motors_and_never_the_joints(start: Start) -> None:
    config = only(load_robot("sim"), "waist", "left_arm")
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
    config = only(load_robot("sim"), "left_leg", "right_arm")
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
    config = patient(only(load_robot("sim"), "left_arm"))
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
    config = only(load_robot("sim"), "waist", "left_arm")
    sim = start(config)
    with open_robot(with_channels(config, sim.channels), CLOCK) as robot:
        assert ticks(robot, config, [np.full(10, 0.3)] * 5) == 0
        assert (robot.counters.received == 5).all()
        assert sim.received().sum() == 0
        assert np.abs(sim.positions()).max() < 0.003


def test_damp_and_off_take_the_stiffness_away_until_enabled_again(start: Start) -> None:
    config = only(load_robot("sim"), "waist", "left_arm")
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
    config = only(load_robot("sim"), "waist", "left_arm")
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
    config = only(load_robot("sim"), "waist", "left_arm")
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
    config = only(load_robot("sim"), "waist", "left_arm")
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


def test_a_missing_bus_and_a_missing_motor_are_named(start: Start) -> None:
    config = only(load_robot("sim"), "waist", "left_arm")
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
    config = only(load_robot("sim"), "waist", "left_arm")
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
    config = only(load_robot("sim"), "waist", "left_arm")
    sim = start(config)
    wrong = with_joint(config, place, **changes)
    with (
        pytest.raises(ConfigWrong, match=what),
        open_robot(with_channels(wrong, sim.channels), CLOCK),
    ):
        pass


def test_a_bus_carries_one_family(start: Start) -> None:
    config = only(load_robot("sim"), "waist", "left_arm")
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
    config = only(load_robot("sim"), "waist")
    sim = start(config)
    zero = np.zeros(3, np.float32)
    with open_robot(with_channels(config, sim.channels), CLOCK) as robot:
        robot.enable()
        with pytest.raises(TypeError, match="JointCommand"):
            robot.write(Setpoint(zero, zero, 0, 0))  # type: ignore[arg-type]
        assert settled(sim, 4) == 3


@pytest.mark.parametrize("bus", ["waist", "left_arm"])
def test_no_byte_is_made_of_what_is_not_finite_or_out_of_range(start: Start, bus: str) -> None:
    config = only(load_robot("sim"), bus)
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

    robot = load_robot("sim")
    assert robot.joint_names == [joint.name for joint in G1_JOINTS]
    # Left and right are mirrored: roll and yaw change sides, pitch does not.
    joints: dict[str, Joint] = {joint.name: joint for joint in robot.joints}
    for name, left in joints.items():
        if not name.startswith("left_"):
            continue
        right = joints[name.replace("left_", "right_")]
        mirrored = (-left.upper, -left.lower) if "roll" in name or "yaw" in name else None
        assert (right.lower, right.upper) == (mirrored or (left.lower, left.upper))
