"""Whoever listens to a robot's buses hears every byte, on every path that bytes take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neon_edge.sim import start_sim, with_channels
from neon_edge.transport import open_robot
from neon_edge.transport.protocol.socketcan import candump, encode_frame
from neon_edge.types import BusFrame
from tests.transport.drive import CLOCK, ticks
from tests.transport.families import robot_of


@pytest.mark.parametrize("family", ["damiao", "moteus", "dynamixel"])
def test_all_that_passes_in_the_tick_is_told(family: str, tmp_path: Path) -> None:
    config = robot_of(family, 4)
    told: list[tuple[str, bool, bytes]] = []
    with start_sim(config, tmp_path) as sim:
        live = with_channels(config, sim.channels)
        with open_robot(live, CLOCK) as robot:
            pose = robot.enable()
            counters = next(iter(robot.bus_counters.values()))
            sent, received = counters.frames_sent, counters.frames_received
            robot.listen(lambda *said: told.append(said))
            ticks(robot, live, [pose] * 10)
            robot.listen(None)
            before = len(told)
            sent, received = counters.frames_sent - sent, counters.frames_received - received
            ticks(robot, live, [np.asarray(pose)] * 2)
            assert len(told) == before
    assert {bus for bus, _, _ in told} == {live.buses[0].name}
    if family == "dynamixel":
        assert sum(not ours for _, ours, _ in told) == received
        assert sum(ours for _, ours, _ in told) == sent >= 10
    else:
        spelled = {
            ours: [t for _, way, raw in told if way is ours for t in candump(raw)]
            for ours in (True, False)
        }
        assert (len(spelled[True]), len(spelled[False])) == (sent, received)
        assert len(spelled[False]) >= 40
        assert all("#" in text for way in spelled.values() for text in way)


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (BusFrame(0x123, bytes.fromhex("deadbeef")), "123#DEADBEEF"),
        (BusFrame(0x7, b""), "007#"),
        (BusFrame(0x7, b"", remote=True), "007#R"),
        (BusFrame(0x1F334455, b"\1\2", extended=True), "1F334455#0102"),
        (BusFrame(0x123, b"\1" * 12, fd=True), "123##0" + "01" * 12),
        (BusFrame(0x123, b"\1" * 8, fd=True, bit_rate_switch=True), "123##1" + "01" * 8),
    ],
)
def test_frames_read_as_candump_writes_them(frame: BusFrame, text: str) -> None:
    assert list(candump(encode_frame(frame))) == [text]


def test_several_structs_and_what_is_none() -> None:
    one = encode_frame(BusFrame(1, b"\xaa"))
    assert list(candump(one + one)) == ["001#AA", "001#AA"]
    assert list(candump(one + b"\xff\x01")) == ["001#AA", "?FF01"]
    error = bytearray(one)
    error[3] |= 0x20
    assert list(candump(bytes(error))) == ["20000001#AA"]
