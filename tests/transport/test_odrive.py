"""CANSimple messages against the published table, and what may never be encoded."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neon_edge.transport.protocol import odrive
from neon_edge.transport.protocol.odrive import Command
from neon_edge.types import BusFrame

nodes = st.integers(0, odrive.HIGHEST_NODE)
float32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


def test_published_ids_and_fields() -> None:
    # docs.odriverobotics.com "CAN Protocol": id = node << 5 | command, little-endian.
    assert {c.name: int(c) for c in Command if c.name not in ("VERSION", "LIMITS")} == {
        "HEARTBEAT": 0x01, "ESTOP": 0x02, "ERRORS": 0x03, "SET_STATE": 0x07, "ESTIMATES": 0x09,
        "SET_MODES": 0x0B, "INPUT_POSITION": 0x0C, "INPUT_VELOCITY": 0x0D, "INPUT_TORQUE": 0x0E,
        "CLEAR_ERRORS": 0x18, "POSITION_GAIN": 0x1A, "VELOCITY_GAINS": 0x1B, "TORQUES": 0x1C,
    }  # fmt: skip
    half_turn = odrive.input_position(3, math.pi, -math.tau, 1.5)
    # 0.5 turns, -1 turn/s and 1.5 N·m in thousandths.
    assert half_turn == BusFrame(0x06C, bytes.fromhex("0000003F 18FC DC05"))
    closed = odrive.words(1, Command.SET_STATE, odrive.CLOSED_LOOP)
    assert closed == BusFrame(0x027, bytes.fromhex("08000000"))
    assert odrive.ask(2, Command.ESTIMATES) == BusFrame(0x049, b"", remote=True)


@given(
    node=nodes,
    turns=st.floats(-16384, 16384),
    speed=st.floats(-32.767, 32.767),
    torque=st.floats(-32.767, 32.767),
)
def test_goals_come_back_within_half_a_step(
    node: int, turns: float, speed: float, torque: float
) -> None:
    frame = odrive.input_position(node, turns * math.tau, speed * math.tau, torque)
    assert frame.arbitration_id == node << 5 | Command.INPUT_POSITION
    position, velocity, torque_back = odrive.decode_input_position(frame.payload)
    assert position == pytest.approx(turns * math.tau, rel=1.2e-7, abs=1e-6)
    assert abs(velocity / math.tau - speed) <= odrive.FEEDFORWARD_STEP / 2 + 1e-9
    assert abs(torque_back - torque) <= odrive.FEEDFORWARD_STEP / 2 + 1e-9


@given(node=nodes, first=float32, second=float32)
def test_floats_survive_the_round_trip_exactly(node: int, first: float, second: float) -> None:
    frame = odrive.floats(node, Command.ESTIMATES, first, second)
    assert struct.unpack("<ff", frame.payload) == (first, second)
    if max(abs(first), abs(second)) <= odrive.MEASURABLE:
        assert odrive.decode_floats(frame.payload) == (first, second)
    else:
        with pytest.raises(ValueError, match="absurd"):
            odrive.decode_floats(frame.payload)


@given(node=nodes, error=st.integers(0, 2**32 - 1), state=st.integers(0, 255))
def test_heartbeats_survive_the_round_trip(node: int, error: int, state: int) -> None:
    assert odrive.decode_heartbeat(odrive.heartbeat(node, error, state).payload) == (error, state)


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e6, -1e6, 1e300])
def test_a_goal_that_is_not_finite_or_does_not_fit_is_refused(place: int, bad: float) -> None:
    goal = [0.0, 0.0, 0.0]
    goal[place] = bad
    with pytest.raises(ValueError, match="do not fit"):
        odrive.input_position(1, *goal)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e39, -1e39])
def test_a_number_that_no_float32_holds_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="float32"):
        odrive.floats(1, Command.INPUT_VELOCITY, 0.0, bad)


@pytest.mark.parametrize("bad", [-1, 2**32])
def test_a_word_that_is_none_is_refused(bad: int) -> None:
    with pytest.raises(ValueError, match="u32"):
        odrive.words(1, Command.SET_STATE, bad)


@pytest.mark.parametrize(("node", "command"), [(63, 1), (-1, 1), (1, 32)])
def test_nobody_is_spoken_to_who_cannot_be(node: int, command: int) -> None:
    with pytest.raises(ValueError, match="node"):
        odrive.frame(node, command)


def test_wrong_lengths_are_refused() -> None:
    for decode in (odrive.decode_heartbeat, odrive.decode_floats, odrive.decode_input_position):
        with pytest.raises(ValueError, match="bytes where"):
            decode(b"short")
