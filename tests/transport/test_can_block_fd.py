"""Damiao motors on an FD bus in blocks: the frames and the numbers of the chain without them."""

from __future__ import annotations

import itertools
from pathlib import Path

import msgspec
import numpy as np
import pytest

from neon_edge.clock import FakeClock
from neon_edge.config import CanBus
from neon_edge.transport.can_block import heads_of
from neon_edge.transport.can_chain import CanChain
from neon_edge.transport.chain import JointCounters, Placed, joint_counters
from neon_edge.transport.damiao_block import DamiaoBlockChain
from neon_edge.transport.damiao_dialect import DamiaoDialect
from neon_edge.transport.exchange import CanExchange
from neon_edge.transport.families import make_chain
from neon_edge.transport.flexible import FlexibleBus
from neon_edge.transport.protocol.socketcan import FLEXIBLE, decode_frame, encode_frame
from neon_edge.types import BusFrame, JointState, Rung
from tests.transport.drive import command
from tests.transport.test_can_block import ROBOT, N, Wire, answer, empty

BIT_RATE_SWITCH, ERROR_STATE, FD_FORMAT = 0x01, 0x02, 0x04
"""linux/can.h: CANFD_BRS, CANFD_ESI, CANFD_FDF. The last is set by kernels from 6.1 on."""
FD_ROBOT = msgspec.structs.replace(ROBOT, buses=[CanBus("line", "sim", fd=True)])
PLACED = [Placed(k, joint) for k, joint in enumerate(FD_ROBOT.joints)]


def blocks(wire: Wire, counters: JointCounters) -> CanChain:
    """As a robot has it."""
    made = make_chain(FD_ROBOT.buses[0], wire.bus, PLACED, counters, FakeClock(), 50.0)
    assert isinstance(made, DamiaoBlockChain)
    made._enabled = True
    return made


def singles(wire: Wire, counters: JointCounters) -> CanChain:
    """Frame by frame."""
    bus, clock = FlexibleBus(wire.bus), FakeClock()
    exchange = CanExchange(bus, FD_ROBOT.joints, clock)
    dialect = DamiaoDialect(exchange, [joint.motor for joint in FD_ROBOT.joints])  # type: ignore[misc]
    made = CanChain(bus, PLACED, counters, clock, dialect)
    made._enabled = True
    return made


@pytest.fixture
def wires(tmp_path: Path) -> tuple[Wire, Wire]:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    return Wire(tmp_path / "a", fd=True), Wire(tmp_path / "b", fd=True)


def flexible(place: int, position: float, flags: int = BIT_RATE_SWITCH) -> bytes:
    """A motor's answer as the kernel gives it on an FD socket."""
    frame = decode_frame(answer(place, position))
    assert frame is not None
    return FLEXIBLE.pack(frame.arbitration_id, 8, flags, frame.payload)


@pytest.mark.parametrize("rung", list(Rung))
def test_commands_are_flexible_frames_with_the_switch(wires: tuple[Wire, Wire], rung: Rung) -> None:
    ours, theirs = (
        make(wire, joint_counters(N)) for make, wire in zip((blocks, singles), wires, strict=True)
    )
    rng = np.random.default_rng(1)
    for chain, wire in zip((ours, theirs), wires, strict=True):
        for place in range(N):
            wire.far.send(flexible(place, 0.05 * place))
        chain.read(empty())
    for _ in range(3):
        told = command(FD_ROBOT, rng.uniform(-1.4, 1.4, N).astype(np.float32), rung)
        assert ours.write(told) == theirs.write(told)
        sent = [wire.heard() for wire in wires]
        assert sent[0] == sent[1]
        assert all(frame.fd and frame.bit_rate_switch for frame in sent[0])
        assert len(sent[0]) == N


@pytest.mark.parametrize(
    ("order", "flags"),
    [
        (range(N), BIT_RATE_SWITCH),
        (range(N), BIT_RATE_SWITCH | FD_FORMAT),
        (range(N), BIT_RATE_SWITCH | ERROR_STATE),
        (range(N), 0),
        ([3, 0, 4, 1, 2], BIT_RATE_SWITCH),
        ([1, 1, 4], BIT_RATE_SWITCH),
        ([], 0),
    ],
)
def test_answers_are_the_same_states(
    wires: tuple[Wire, Wire], order: list[int], flags: int
) -> None:
    states: list[JointState] = []
    for make, wire in zip((blocks, singles), wires, strict=True):
        counters = joint_counters(N)
        chain, state = make(wire, counters), empty()
        for count, place in enumerate(order):
            wire.far.send(flexible(place, 0.1 * place - 0.3 + 0.01 * count, flags))
        chain.read(state)
        states.append(state)
        assert counters.received.tolist() == [list(order).count(k) for k in range(N)]
    for field in ("position", "velocity", "torque"):
        ours, theirs = (getattr(state, field) for state in states)
        assert ours == pytest.approx(theirs, abs=1e-6)


def test_classic_answers_and_other_lengths_on_an_fd_bus(wires: tuple[Wire, Wire]) -> None:
    wire, counters = wires[0], joint_counters(N)
    chain, state = blocks(wire, counters), empty()
    wire.far.send(answer(2, 0.4))
    wire.far.send(FLEXIBLE.pack(0x11, 12, BIT_RATE_SWITCH, bytes(12)))
    wire.far.send(FLEXIBLE.pack(0x8000_0011, 8, BIT_RATE_SWITCH, bytes(8)))
    chain.read(state)
    assert counters.received.tolist() == [0, 0, 1, 0, 0]
    assert state.position[2] == pytest.approx(0.4, abs=1e-3)


def test_flexible_frames_are_told_one_by_one(wires: tuple[Wire, Wire]) -> None:
    wire, seen = wires[0], list[tuple[bool, BusFrame | None]]()
    chain = blocks(wire, joint_counters(N))
    wire.bus.tap = lambda name, sent, raw: seen.append((sent, decode_frame(raw)))
    chain.write(command(FD_ROBOT, np.zeros(N, np.float32)))
    for place in range(N):
        wire.far.send(flexible(place, 0.0))
    chain.read(empty())
    kinds = [(sent, frame is not None and frame.fd) for sent, frame in seen]
    assert kinds == [*itertools.repeat((True, True), N), *itertools.repeat((False, True), N)]


@pytest.mark.parametrize("fd", [False, True])
def test_answers_that_overtake_one_another_are_put_in_order(tmp_path: Path, fd: bool) -> None:
    wire, heads = Wire(tmp_path, fd=fd), heads_of([0x11, 0x12, 0x13])
    for order, whole in (
        ([2, 0, 1], True),
        ([0, 0, 1], False),
        ([0, 1], False),
        ([0, 1, 4], False),
    ):
        for place in order:
            frame = decode_frame(answer(place, 0.0))
            assert frame is not None
            wire.far.send(encode_frame(frame._replace(payload=bytes([place] * 8), fd=fd)))
        words = wire.bus.receive_block(heads).words
        assert words == ([0, int("01" * 8, 16), int("02" * 8, 16)] if whole else None)
