"""Faults strike where and when the file says, the same way every time."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from neon_edge.config import SerialBus
from neon_edge.errors import BusFailed, ConfigWrong, DeviceMissing
from neon_edge.sim import start_sim, with_channels
from neon_edge.sim.dynamics import Drive
from neon_edge.sim.faults import (
    BusOff,
    Faults,
    FaultyWire,
    MotorFault,
    MotorFaults,
    WireFaults,
    check_faults,
)
from neon_edge.sim.line import Line
from neon_edge.transport import open_robot
from neon_edge.transport.protocol import damiao
from neon_edge.transport.protocol.socketcan import BUS_OFF, decode_frame, encode_frame
from neon_edge.types import BusFrame
from tests.transport.drive import CLOCK, rest, ticks
from tests.transport.families import FAMILIES, robot_of
from tests.transport.inline import InlineRig

MS = 1_000_000


def wire(**shares: object) -> FaultyWire:
    return FaultyWire("line", Faults(3, [WireFaults(**shares)]), can=False, start_ns=0)  # type: ignore[arg-type]


def test_shares_are_kept_and_the_seed_repeats_them() -> None:
    raw = bytes(range(16))
    runs = []
    for _ in range(2):
        faulty = wire(drop=0.05, corrupt=0.01, duplicate=0.1)
        runs.append([faulty.mistreat(raw, 0, inbound=False) for _ in range(20_000)])
    assert runs[0] == runs[1]
    passed = [len(one) for one in runs[0]]
    assert passed.count(0) / 20_000 == pytest.approx(0.05, abs=0.01)
    assert passed.count(2) / 20_000 == pytest.approx(0.095, abs=0.01)
    changed = [one for one in runs[0] if one and one[0][1] != raw]
    assert len(changed) / 20_000 == pytest.approx(0.0095, abs=0.003)
    for one in changed:
        before, after = int.from_bytes(raw, "big"), int.from_bytes(one[0][1], "big")
        assert (before ^ after).bit_count() == 1


def test_ways_times_and_delays() -> None:
    faulty = wire(drop=1.0, way="replies", from_s=1.0, to_s=2.0)
    assert faulty.mistreat(b"x", 500 * MS, inbound=False) == [(0, b"x")]
    assert faulty.mistreat(b"x", 1500 * MS, inbound=False) == []
    assert faulty.mistreat(b"x", 1500 * MS, inbound=True) == [(0, b"x")]
    assert faulty.mistreat(b"x", 2500 * MS, inbound=False) == [(0, b"x")]
    late = wire(delay=1.0, delay_ms=2.5)
    assert late.mistreat(b"x", 0, inbound=True) == [(2_500_000, b"x")]
    assert wire(reorder=1.0).mistreat(b"x", 0, inbound=True)[0][0] > 0


def test_a_bus_that_goes_off_says_so_once_and_is_dead() -> None:
    rig = InlineRig(robot_of("damiao"))
    faulty = FaultyWire("line", Faults(bus_off=[BusOff("line", 0.1)]), can=True, start_ns=0)
    line = Line(rig.bus.motors, faulty)
    assert line.run(50 * MS) == []
    (raw,) = line.run(150 * MS)
    frame = decode_frame(raw)
    assert frame is not None
    assert frame.arbitration_id & BUS_OFF
    line.put(raw, 160 * MS)
    assert line.run(300 * MS) == []


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("what", ["brown_out", "overheat"])
def test_a_struck_motor_pulls_no_more(family: str, what: str) -> None:
    config = robot_of(family)
    rig = InlineRig(config, (0.5, 0.5, 0.5))
    faults = Faults(motor=[MotorFault("joint_1", what, 0.5)])  # type: ignore[arg-type]
    coming = MotorFaults(faults, config, rig.body.motors, rig.clock.now_ns())
    goal = np.array([m.position + 0.2 for m in rig.body.motors])
    for motor, wanted in zip(rig.body.motors, goal, strict=True):
        motor.pull(Drive(float(wanted), kp=40.0, kd=1.0))
    rig.clock.advance_ns(100 * MS)
    coming.strike(rig.clock.now_ns())
    rig.body.dynamics.advance(rig.clock.now_ns())
    assert rig.body.dynamics.torque[1] != 0
    rig.clock.advance_ns(500 * MS)
    rig.body.dynamics.advance(rig.clock.now_ns())
    coming.strike(rig.clock.now_ns())
    rig.clock.advance_ns(10 * MS)
    rig.body.dynamics.advance(rig.clock.now_ns())
    assert rig.body.dynamics.torque[1] == 0
    assert rig.body.motors[1].hot == (what == "overheat")


@pytest.mark.parametrize("family", ["damiao", "cia402"])
def test_a_motor_that_overheats_is_a_fault_and_does_not_come_back_hot(
    family: str, tmp_path: Path
) -> None:
    config = robot_of(family)
    toml = '[[motor]]\njoint = "joint_1"\nwhat = "overheat"\nat_s = 3.0\n'
    with (
        start_sim(config, tmp_path, toml) as sim,
        open_robot(with_channels(config, sim.channels), CLOCK) as robot,
    ):
        pose = robot.enable()
        ticks(robot, config, [pose] * 5)
        assert (robot.counters.faults == 0).all()
        rest(0.2)
        for _ in range(300):
            ticks(robot, config, [pose])
            if robot.counters.faults[1]:
                break
        assert robot.counters.faults[1]
        with pytest.raises(DeviceMissing, match="joint_1"):
            robot.enable()


def test_a_dead_can_bus_ends_the_run(tmp_path: Path) -> None:
    config = robot_of("damiao")
    toml = '[[bus_off]]\nbus = "line"\nat_s = 3.0\n'
    with (
        start_sim(config, tmp_path, toml) as sim,
        pytest.raises(BusFailed, match="line"),
        open_robot(with_channels(config, sim.channels), CLOCK) as robot,
    ):
        pose = robot.enable()
        ticks(robot, config, [pose] * 400)


def test_faults_reach_motors_that_already_run(tmp_path: Path) -> None:
    config = robot_of("damiao")
    with (
        start_sim(config, tmp_path) as sim,
        open_robot(with_channels(config, sim.channels), CLOCK) as robot,
    ):
        pose = robot.enable()
        ticks(robot, config, [pose] * 5)
        assert set(sim.drives()) == {"holds"}
        missing = robot.counters.missing.copy()
        sim.inject('[[motor]]\njoint = "joint_1"\nwhat = "mute"\nat_s = 0.0\n')
        for _ in range(300):
            ticks(robot, config, [pose])
            if robot.counters.missing[1] > missing[1] + 5:
                break
        assert robot.counters.missing[1] > missing[1] + 5
        heard = robot.counters.received.copy()
        sim.inject('[[motor]]\njoint = "joint_1"\nwhat = "speak"\nat_s = 0.0\n')
        for _ in range(300):
            ticks(robot, config, [pose])
            if robot.counters.received[1] > heard[1] + 5:
                break
        assert robot.counters.received[1] > heard[1] + 5
        # A file that is wrong is told to the log and changes nothing.
        sim.inject('[[motor]]\njoint = "tail"\nwhat = "mute"\nat_s = 0.0\n')
        rest(0.2)
        ticks(robot, config, [pose] * 3)
    assert "tail" in (tmp_path / "sim.log").read_text()


def test_a_slow_motor_answers_late_and_holds_nobody_up() -> None:
    rig = InlineRig(robot_of("damiao"))
    config = robot_of("damiao")
    fault = Faults(motor=[MotorFault("joint_1", "slow", 0.0, delay_ms=30.0)])
    MotorFaults(fault, config, rig.body.motors, 0).strike(0)
    line = Line(rig.bus.motors)
    for motor in (1, 2, 3):
        line.put(encode_frame(BusFrame(damiao.REGISTER_ID, damiao.refresh(motor))), 0)
    assert len(line.run(10 * MS)) == 2
    assert len(line.run(29 * MS)) == 0
    assert len(line.run(32 * MS)) == 1


def test_servos_that_take_turns_cannot_be_silenced_alone() -> None:
    fault = Faults(motor=[MotorFault("joint_1", "mute", 0.0)])
    with pytest.raises(ConfigWrong, match="cannot fall silent"):
        check_faults(fault, robot_of("dynamixel"))
    check_faults(fault, robot_of("damiao"))


def test_a_fault_for_what_is_not_there_is_refused() -> None:
    config = robot_of("dynamixel")
    assert isinstance(config.buses[0], SerialBus)
    for faults in (
        Faults(wire=[WireFaults(bus="other")]),
        Faults(motor=[MotorFault("tail", "cool", 0.0)]),
        Faults(bus_off=[BusOff("line", 0.0)]),
    ):
        with pytest.raises(ConfigWrong, match="does not have"):
            check_faults(faults, config)
    assert msgspec.toml.decode(b"seed = 3", type=Faults).seed == 3
