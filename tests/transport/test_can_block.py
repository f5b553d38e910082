"""A tick of Damiao motors in blocks: the frames and numbers of the chain without them."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neon_edge.clock import FakeClock
from neon_edge.config import CanBus
from neon_edge.errors import BusFailed
from neon_edge.transport.can import CanSocket, open_can
from neon_edge.transport.can_block import CAPACITY, Outgoing, heads_of
from neon_edge.transport.can_chain import UNKNOWN_FAULT, CanChain
from neon_edge.transport.chain import JointCounters, Placed, joint_counters
from neon_edge.transport.damiao_block import DamiaoBlockChain
from neon_edge.transport.damiao_dialect import DamiaoDialect
from neon_edge.transport.exchange import CanExchange
from neon_edge.transport.protocol.damiao import Condition, Feedback, Ranges, encode_feedback
from neon_edge.transport.protocol.damiao_batch import ALL_BUT_POSITION, CommandBatch
from neon_edge.transport.protocol.socketcan import decode_frame, encode_frame
from neon_edge.types import BusFrame, JointState, Rung
from tests.transport.drive import command
from tests.transport.families import robot_of

N = 5
ROBOT = robot_of("damiao", N)
RANGES = Ranges(12.5, 30.0, 10.0)


class Wire:
    """A bus whose far end the test holds."""

    def __init__(self, folder: Path, *, fd: bool = False) -> None:
        path = folder / "can"
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(str(path))
            listener.listen()
            config = CanBus("line", f"unix:{path}", fd=fd)
            self.bus: CanSocket = open_can(config, FakeClock())
            self.far, _ = listener.accept()
        self.far.setblocking(False)

    def heard(self) -> list[BusFrame]:
        """What our side has sent."""
        frames = []
        while True:
            try:
                frame = decode_frame(self.far.recv(100))
            except BlockingIOError:
                return frames
            assert frame is not None
            frames.append(frame)


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    made = Wire(tmp_path)
    yield made
    made.bus.close()
    made.far.close()


@pytest.fixture(params=["block", "single"])
def chain(request: pytest.FixtureRequest, wire: Wire) -> tuple[CanChain, JointCounters]:
    counters, clock = joint_counters(N), FakeClock()
    placed = [Placed(k, joint) for k, joint in enumerate(ROBOT.joints)]
    exchange = CanExchange(wire.bus, ROBOT.joints, clock)
    dialect = DamiaoDialect(exchange, [joint.motor for joint in ROBOT.joints])  # type: ignore[misc]
    if request.param == "block":
        made: CanChain = DamiaoBlockChain(wire.bus, placed, counters, clock, dialect)
    else:
        made = CanChain(wire.bus, placed, counters, clock, dialect)
    made._enabled = True
    return made, counters


def empty() -> JointState:
    return JointState(*np.zeros((3, N), np.float32), np.zeros(N, np.int64))


def answer(place: int, position: float, condition: Condition = Condition.ENABLED) -> bytes:
    told = Feedback(place + 1, condition, position, 2.0, -1.0, 30, 31)
    return encode_frame(BusFrame(0x11 + place, encode_feedback(RANGES, told)))


def test_commands_are_the_single_codecs_tick_after_tick(
    chain: tuple[CanChain, JointCounters], wire: Wire
) -> None:
    made, counters = chain
    batch = CommandBatch([RANGES] * N)
    rng = np.random.default_rng(1)
    for tick in range(6):
        goal = rng.uniform(-1.4, 1.4, N).astype(np.float32)
        told = command(ROBOT, goal)
        if tick > 3:  # gains change
            told.kp[:] = 11.0 + tick
        assert made.write(told) == N
        rows = np.zeros((5, N))
        rows[0] = made._axes.motor_positions(goal)
        rows[2], rows[3] = told.kp, told.kd
        expected = [BusFrame(k + 1, payload) for k, payload in enumerate(batch.encode(rows))]
        assert wire.heard() == expected
    assert counters.sent.tolist() == [6] * N


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 13.0])
def test_nothing_is_sent_of_a_command_that_does_not_fit(
    chain: tuple[CanChain, JointCounters], wire: Wire, bad: float
) -> None:
    made, _ = chain
    for first in (True, False):
        goal = np.zeros(N, np.float32)
        goal[2] = bad
        with pytest.raises(ValueError, match=r"finite"):
            made.write(command(ROBOT, goal))
        assert wire.heard() == []
        poisoned = command(ROBOT, np.zeros(N, np.float32))
        poisoned.kp[1] = bad if np.isnan(bad) else 1e6
        with pytest.raises(ValueError, match=r"finite"):
            made.write(poisoned)
        assert wire.heard() == []
        if first:
            made.write(command(ROBOT, np.zeros(N, np.float32)))
            assert len(wire.heard()) == N


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [4, 0, 2, 1, 3], [1, 3], [2]])
def test_answers_in_any_order_are_their_joints(
    chain: tuple[CanChain, JointCounters], wire: Wire, order: list[int]
) -> None:
    made, counters = chain
    state = empty()
    made._awaited[:] = True
    for place in order:
        wire.far.send(answer(place, 0.1 * place))
    made.read(state)
    for place in range(N):
        joint = ROBOT.joints[place]
        at = joint.sign * (0.1 * place - joint.offset) if place in order else 0.0
        assert state.position[place] == pytest.approx(at, abs=4e-4)
        assert state.velocity[place] == pytest.approx(
            2.0 * joint.sign if place in order else 0.0, abs=0.02
        )
        assert counters.received[place] == (place in order)
    assert not counters.faults.any()
    made.write(command(ROBOT, np.zeros(N, np.float32)))
    assert counters.missing.tolist() == [place not in order for place in range(N)]
    made.read(state)
    made.write(command(ROBOT, np.zeros(N, np.float32)))
    assert counters.missing.tolist() == [1 + (place not in order) for place in range(N)]


def test_of_two_answers_the_last_counts_and_both_are_counted(
    chain: tuple[CanChain, JointCounters], wire: Wire
) -> None:
    made, counters = chain
    state = empty()
    for position in (0.5, 0.25):
        wire.far.send(answer(0, position))
    made.read(state)
    assert state.position[0] == pytest.approx(0.25, abs=4e-4)
    assert counters.received.tolist() == [2, 0, 0, 0, 0]


def test_more_than_a_block_is_taken_in_one_read(
    chain: tuple[CanChain, JointCounters], wire: Wire
) -> None:
    made, counters = chain
    wire.far.setblocking(True)
    for tick in range(CAPACITY // N + 3):
        for place in range(N):
            wire.far.send(answer(place, 0.01 * tick))
    made.read(empty())
    assert counters.received.tolist() == [CAPACITY // N + 3] * N


def test_strangers_and_rubbish_are_nobodys_state(
    chain: tuple[CanChain, JointCounters], wire: Wire
) -> None:
    made, counters = chain
    state = empty()
    for frame in (
        BusFrame(0x11, b"\x11\x80"),
        BusFrame(0x11, bytes(8), extended=True),
        BusFrame(0x7F0, bytes(8)),
        BusFrame(0x11, bytes(12), fd=True),
    ):
        wire.far.send(encode_frame(frame))
    wire.far.send(b"xyz")
    wire.far.send(struct.pack("=IB3x8s", 0x2000_0004, 8, bytes(8)))  # the controller's error
    wire.far.send(answer(3, 0.5))
    made.read(state)
    assert counters.received.tolist() == [0, 0, 0, 1, 0]
    assert state.position[3] == pytest.approx(0.5, abs=4e-4)
    assert wire.bus.counters.error_frames == 1


def test_a_motor_that_is_off_or_ill_says_so(
    chain: tuple[CanChain, JointCounters], wire: Wire
) -> None:
    made, counters = chain
    for place in range(N):
        wire.far.send(answer(place, 0.0, Condition.ROTOR_HOT if place == 2 else Condition.ENABLED))
    made.read(empty())
    assert counters.faults.tolist() == [0, 0, Condition.ROTOR_HOT, 0, 0]
    wire.far.send(answer(1, 0.0, Condition.DISABLED))
    made.read(empty())
    assert counters.faults.tolist() == [0, UNKNOWN_FAULT, Condition.ROTOR_HOT, 0, 0]


def test_a_damp_holds_no_position_and_the_next_command_is_whole(
    chain: tuple[CanChain, JointCounters], wire: Wire
) -> None:
    made, _ = chain
    goal = np.full(N, 0.3, np.float32)
    made.write(command(ROBOT, goal))
    plain = wire.heard()
    made.write(command(ROBOT, goal, Rung.DAMP))
    assert len(wire.heard()) == N
    made.write(command(ROBOT, goal))
    assert wire.heard() == plain


def test_a_bus_that_hangs_up_is_named(chain: tuple[CanChain, JointCounters], wire: Wire) -> None:
    made, _ = chain
    wire.far.close()
    with pytest.raises(BusFailed, match="'line'"):
        made.read(empty())
    with pytest.raises(BusFailed, match="'line'"):
        made.write(command(ROBOT, np.zeros(N, np.float32)))


def test_a_block_that_the_queue_takes_only_in_part_is_counted(wire: Wire) -> None:
    block = Outgoing(range(1, 60))
    sent = [wire.bus.send_block(block) for _ in range(40)]
    assert sent[0] == 59
    assert min(sent) < 59
    counters = wire.bus.counters
    assert counters.frames_dropped == sum(59 - count for count in sent) > 0
    assert counters.queue_full > 0
    assert len(wire.heard()) == sum(sent) == counters.frames_sent


def test_heads_tell_frames_apart() -> None:
    assert heads_of([1, 2]).usual == encode_frame(BusFrame(1, bytes(8)))[:8] + struct.pack(
        "=IB3x", 2, 8
    )


@given(
    st.lists(st.floats(-12, 12), min_size=N, max_size=N),
    st.lists(st.floats(-12.3, 12.3), min_size=N, max_size=N),
)
def test_words_by_joint_are_those_of_the_batch(before: list[float], after: list[float]) -> None:
    batch = CommandBatch([RANGES] * N)
    signs, offsets = [1.0, -1.0, 1.0, -1.0, 1.0], [0.0, 0.05, -0.1, 0.0, 0.1]
    rows = np.zeros((5, N))
    rows[2], rows[3], rows[4] = 40.0, 1.0, -3.0
    rows[0] = before
    rests = [word & ALL_BUT_POSITION for word in batch.words(rows).tolist()]
    rows[0] = np.array(signs) * after + np.array(offsets)
    assert batch.mounted(signs, offsets).words(rests, after) == batch.words(rows).tolist()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 12.51, -12.51, 12.5])
def test_what_must_be_looked_at_whole_is_left_to_the_batch(bad: float) -> None:
    mounted = CommandBatch([RANGES] * N).mounted([1.0] * N, [0.0] * N)
    assert mounted.words([0] * N, [0.1, bad, 0.2, 0.3, 0.4]) is None
    assert mounted.words([0] * N, [0.1, -12.5, 0.2, 0.3, 0.4]) is not None


@given(st.lists(st.integers(0, 2**64 - 1), min_size=N, max_size=N))
def test_states_by_joint_are_those_of_the_batch(words: list[int]) -> None:
    batch = CommandBatch([RANGES] * N)
    signs, offsets = [1.0, -1.0, 1.0, -1.0, 1.0], [0.0, 0.05, -0.1, 0.0, 0.1]
    payloads = [word.to_bytes(8, "big") for word in words]
    wanted, _ = batch.decode(payloads, range(N))
    found = batch.mounted(signs, offsets).states(words)
    for k, (position, velocity, torque) in enumerate(wanted):
        assert found[0][k] == pytest.approx(signs[k] * (position - offsets[k]), abs=1e-12)
        assert found[1][k] == pytest.approx(signs[k] * velocity, abs=1e-12)
        assert found[2][k] == pytest.approx(signs[k] * torque, abs=1e-12)
