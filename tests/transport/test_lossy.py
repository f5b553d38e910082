"""Replies lost and damaged, on a clock that is moved: every family, tick by tick."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from neon_edge.config import RobotConfig
from neon_edge.sim.faults import Faults, WireFaults
from neon_edge.transport.protocol import dynamixel, feetech
from neon_edge.transport.protocol.dynamixel_stream import StreamParser
from tests.transport.drive import TICK_NS, command
from tests.transport.families import FAMILIES, robot_of
from tests.transport.inline import inline_robot

TICKS = 400
LOSS = Faults(seed=1, wire=[WireFaults(way="replies", drop=0.05, corrupt=0.01)])
LONGEST_NS = 6 * TICK_NS
"""Five answers lost in a row: one in 1,300,000."""


@pytest.mark.parametrize("family", FAMILIES)
def test_a_whole_wire_loses_nothing(family: str) -> None:
    config = robot_of(family)
    with inline_robot(config, (0.2, -0.3, 0.4)) as inline:
        robot, clock = inline.robot, inline.clock
        pose = robot.enable()
        for _ in range(60):
            robot.read()
            assert robot.write(command(config, pose)) == 3
            clock.sleep_until_ns(clock.now_ns() + TICK_NS)
        robot.read()
        counters = robot.counters
        assert (counters.sent == 61).all()
        assert (counters.received >= 60).all()
        assert not counters.missing.any()
        assert not counters.faults.any()


@pytest.mark.parametrize("family", FAMILIES)
def test_loss_costs_answers_and_nothing_else(family: str) -> None:
    config = robot_of(family)
    with inline_robot(config, (0.2, -0.3, 0.4)) as inline:
        robot, clock = inline.robot, inline.clock
        pose = robot.enable()
        before = robot.counters.received.copy()
        inline.mistreat(LOSS)
        oldest = np.zeros(3, np.int64)
        sent = 0
        for tick in range(TICKS):
            begun_ns = clock.now_ns()
            state = robot.read()
            oldest = np.maximum(oldest, begun_ns - state.received_ns)
            sent += robot.write(command(config, pose + np.float32(0.2 * np.sin(0.06 * tick))))
            assert clock.now_ns() - begun_ns < TICK_NS, "waiting for lost answers ate the tick"
            clock.sleep_until_ns(begun_ns + TICK_NS)
            assert np.abs(state.position - pose).max() < 0.3
        # A moteus that did not answer twice in a row may have started again: it waits a tick.
        assert sent == 3 * TICKS or (family == "moteus" and sent > 3 * 0.99 * TICKS)
        assert not robot.counters.faults.any()
        assert (oldest <= LONGEST_NS).all(), oldest / TICK_NS
        # An ODrive tells its state unasked, several times a tick; a moteus is asked again.
        if family not in ("odrive", "moteus"):
            share = (robot.counters.received - before) / TICKS
            assert ((share > 0.88) & (share < 0.99)).all(), share


def over_lines(config: RobotConfig, lines: int) -> RobotConfig:
    """The same joints on each of so many lines."""
    names = [f"line_{k}" for k in range(lines)]
    return msgspec.structs.replace(
        config,
        buses=[msgspec.structs.replace(config.buses[0], name=name) for name in names],
        joints=[
            msgspec.structs.replace(joint, bus=name, name=f"{name}_{joint.name}")
            for name in names
            for joint in config.joints
        ],
    )


@pytest.mark.parametrize("family", ["feetech_scs", "unitree"])
@pytest.mark.parametrize(("joints", "rate_hz"), [(8, 50.0), (5, 200.0)])
@pytest.mark.parametrize("lines", [1, 4])
def test_motors_that_all_fall_silent_cost_a_share_of_the_tick(
    family: str, joints: int, rate_hz: float, lines: int
) -> None:
    config = over_lines(robot_of(family, joints, rate_hz=rate_hz), lines)
    with inline_robot(config) as inline:
        robot, clock = inline.robot, inline.clock
        pose = robot.enable()
        inline.mistreat(Faults(seed=1, wire=[WireFaults(way="replies", drop=1.0)]))
        for _ in range(5):
            begun_ns = clock.now_ns()
            robot.read()
            assert robot.write(command(config, pose)) == joints * lines
            assert clock.now_ns() - begun_ns <= 0.3 * 1e9 / rate_hz
            clock.sleep_until_ns(begun_ns + round(1e9 / rate_hz))


def packets(servo: int) -> bytes:
    return dynamixel.status(servo, 0, bytes(10))


@pytest.mark.parametrize("bit", range(16))
def test_a_damaged_length_silences_nobody_for_more_than_a_tick(bit: int) -> None:
    parser = StreamParser()
    damaged = bytearray(packets(1) + packets(2) + packets(3))
    damaged[5 + bit // 8] ^= 1 << bit % 8
    parser.feed(bytes(damaged))
    parser.settle()
    whole = packets(1) + packets(2) + packets(3)
    heard = parser.feed(whole) + parser.settle()
    assert [packet.servo for packet in heard][-3:] == [1, 2, 3]
    assert parser.crc_errors or parser.bytes_dropped
    again = parser.feed(whole) + parser.settle()
    assert [packet.servo for packet in again] == [1, 2, 3]


def test_a_packet_that_comes_in_two_ticks_is_whole() -> None:
    for cut in range(1, len(packets(1))):
        parser = StreamParser()
        assert parser.feed(packets(1)[:cut]) + parser.settle() == []
        heard = parser.feed(packets(1)[cut:] + packets(2)[:cut]) + parser.settle()
        assert [packet.servo for packet in heard] == [1]
        heard = parser.feed(packets(2)[cut:]) + parser.settle()
        assert [packet.servo for packet in heard] == [2]
        assert parser.crc_errors == 0


@pytest.mark.parametrize("bit", range(8))
def test_so_with_feetech_lengths(bit: int) -> None:
    parser = feetech.Stream()
    whole = b"".join(feetech.encode(servo, 0, bytes(6)) for servo in (1, 2, 3))
    damaged = bytearray(whole)
    damaged[3] ^= 1 << bit
    parser.feed(bytes(damaged))
    parser.settle()
    heard = parser.feed(whole) + parser.settle()
    assert [packet.servo for packet in heard][-3:] == [1, 2, 3]
