"""The blocks on CAN FD: the frames of the slow chain, and every answer of it, in any order."""

from __future__ import annotations

import numpy as np
import pytest

from neon_edge.transport.can_chain import CanChain
from neon_edge.transport.chain import JointCounters, Placed, joint_counters
from neon_edge.transport.damiao_block import DamiaoBlockChain
from neon_edge.transport.damiao_dialect import DamiaoDialect
from neon_edge.transport.exchange import CanExchange
from neon_edge.transport.flexible import FlexibleBus
from neon_edge.transport.protocol.damiao import Condition
from neon_edge.transport.protocol.socketcan import candump, decode_frame, encode_frame
from neon_edge.types import BusFrame
from tests.transport.drive import CLOCK, command
from tests.transport.test_can_block import ROBOT, N, Wire, answer, empty, wire

__all__ = ["wire"]
FLAGS = 5
FLEXIBLE_FRAME = 0x04
"""CANFD_FDF, which newer kernels set on what they receive."""


def chain_on(wire: Wire, *, block: bool) -> tuple[CanChain, JointCounters]:
    counters = joint_counters(N)
    placed = [Placed(k, joint) for k, joint in enumerate(ROBOT.joints)]
    flexible = FlexibleBus(wire.bus)
    motors = [joint.motor for joint in ROBOT.joints]
    dialect = DamiaoDialect(CanExchange(flexible, ROBOT.joints, CLOCK), motors)  # type: ignore[arg-type]
    made = (
        DamiaoBlockChain(wire.bus, placed, counters, CLOCK, dialect, flexible=True)
        if block
        else CanChain(flexible, placed, counters, CLOCK, dialect)
    )
    made._enabled = True
    return made, counters


def flexible(raw: bytes) -> bytes:
    frame = decode_frame(raw)
    assert frame is not None
    return encode_frame(frame._replace(fd=True, bit_rate_switch=True))


def test_commands_are_the_slow_chains_byte_for_byte(wire: Wire) -> None:
    rng = np.random.default_rng(2)
    chains = [chain_on(wire, block=block)[0] for block in (False, True)]
    for _ in range(4):
        told = command(ROBOT, rng.uniform(-1.4, 1.4, N).astype(np.float32))
        sent = []
        for chain in chains:
            assert chain.write(told) == N
            sent.append(wire.heard())
        assert sent[0] == sent[1]
        assert all(frame.fd and frame.bit_rate_switch for frame in sent[0])


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [4, 0, 2, 1, 3], [1, 3], [0, 1, 1, 2, 3, 4]])
@pytest.mark.parametrize("flags", [0, FLEXIBLE_FRAME])
def test_answers_are_the_slow_chains_number_for_number(
    wire: Wire, order: list[int], flags: int
) -> None:
    heard = []
    for block in (False, True):
        chain, counters = chain_on(wire, block=block)
        state = empty()
        for at in order:
            raw = bytearray(flexible(answer(at, 0.1 * at)))
            raw[FLAGS] |= flags
            wire.far.send(bytes(raw))
        chain.read(state)
        numbers = [state.position, state.velocity, state.torque]
        heard.append(np.concatenate([*numbers, counters.received, counters.faults]).tolist())
    assert heard[1] == pytest.approx(heard[0], abs=1e-5)


def test_a_fault_and_a_stranger_are_seen_in_any_kind_of_frame(wire: Wire) -> None:
    chain, counters = chain_on(wire, block=True)
    wire.far.send(encode_frame(BusFrame(0x11, bytes(12), fd=True)))
    wire.far.send(encode_frame(BusFrame(0x7F0, bytes(8), fd=True)))
    wire.far.send(flexible(answer(2, 0.5, Condition.ROTOR_HOT)))
    wire.far.send(answer(3, 0.5))
    chain.read(empty())
    assert counters.received.tolist() == [0, 0, 1, 1, 0]
    assert counters.faults.tolist() == [0, 0, Condition.ROTOR_HOT, 0, 0]
    assert chain.write(command(ROBOT, np.zeros(N, np.float32))) == N - 1


def test_a_tap_is_told_of_every_frame(wire: Wire) -> None:
    chain, _ = chain_on(wire, block=True)
    told: list[str] = []
    wire.bus.tap = lambda _, __, raw: told.extend(candump(raw))
    chain.write(command(ROBOT, np.zeros(N, np.float32)))
    for at in range(N):
        wire.far.send(flexible(answer(at, 0.1)))
    chain.read(empty())
    assert len(told) == 2 * N
    assert all("##1" in line for line in told)
