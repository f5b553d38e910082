"""RobStride frames against published vectors, and what may never be encoded."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neon_edge.transport.protocol import robstride
from neon_edge.transport.protocol.robstride import MODELS, CommandBatch, Kind, Parameter, State
from neon_edge.types import BusFrame

HOST = 0xFD
RS02 = MODELS["rs02"]


def one(row: list[float], model: str = "rs02", motor: int = 1) -> BusFrame:
    (frame,) = CommandBatch([(motor, MODELS[model])]).encode(np.array(row)[:, None])
    return frame


@pytest.mark.parametrize(
    ("row", "number", "payload"),
    [
        ([0.0, 0.0, 0.0, 0.0, 0.0], 0x017FFF01, "7F FF 7F FF 00 00 00 00"),
        ([1.0, 0.0, 50.0, 1.0, 0.0], 0x017FFF01, "8A 2F 7F FF 19 99 33 33"),
    ],
)
def test_published_frames(row: list[float], number: int, payload: str) -> None:
    assert one(row) == BusFrame(number, bytes.fromhex(payload), extended=True)


def test_the_ranges_are_the_published_ones() -> None:
    # Position in turns of 4π, velocity, kp, kd, torque: Seeed wiki and gitee RobStride's manuals.
    published = {
        "rs00": (50, 500, 5, 17),
        "rs01": (44, 500, 5, 17),
        "rs02": (44, 500, 5, 17),
        "rs03": (50, 5000, 100, 60),
        "rs04": (15, 5000, 100, 120),
        "rs05": (33, 500, 5, 17),
        "rs06": (20, 5000, 100, 60),
    }
    assert {m: MODELS[m][1:] for m in published} == published
    assert {MODELS[m].position for m in published} == {4 * math.pi}
    assert MODELS["cybergear"] == (12.5, 30, 500, 5, 12)


share = st.floats(-1, 1)


@given(
    model=st.sampled_from(list(MODELS)),
    motor=st.integers(1, 127),
    shares=st.tuples(share, share, st.floats(0, 1), st.floats(0, 1), share),
)
def test_commands_come_back_within_one_step_below(
    model: str, motor: int, shares: tuple[float, ...]
) -> None:
    ranges = MODELS[model]
    row = [part * high for part, high in zip(shares, ranges, strict=True)]
    frame = one(row, model, motor)
    assert robstride.split(frame.arbitration_id)[::2] == (Kind.OPERATE, motor)
    back = robstride.decode_command(ranges, frame)
    spans = (2 * ranges[0], 2 * ranges[1], ranges[2], ranges[3], 2 * ranges[4])
    for sent, got, span in zip(row, back, spans, strict=True):
        assert -1e-9 * span <= sent - got <= span / robstride.STEPS * (1 + 1e-9)


@given(
    model=st.sampled_from(list(MODELS)),
    motor=st.integers(1, 127),
    mode=st.integers(0, 3),
    faults=st.integers(0, 63),
    shares=st.tuples(share, share, share),
    celsius=st.integers(0, 150),
)
def test_states_come_back_within_one_step(
    model: str, motor: int, mode: int, faults: int, shares: tuple[float, ...], celsius: int
) -> None:
    ranges = MODELS[model]
    spans = (ranges.position, ranges.velocity, ranges.torque)
    values = [part * span for part, span in zip(shares, spans, strict=True)]
    frame = robstride.encode_state(ranges, State(motor, mode, faults, *values, celsius), HOST)
    back = robstride.decode_state(ranges, frame)
    assert back is not None
    assert (back.motor, back.mode, back.faults, back.celsius) == (motor, mode, faults, celsius)
    for sent, got, span in zip(values, back[3:6], spans, strict=True):
        assert abs(sent - got) <= 2 * span / robstride.STEPS * (1 + 1e-9)


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, "above", "below"])
def test_what_is_not_finite_or_out_of_range_never_becomes_bytes(
    place: int, bad: float | str
) -> None:
    low = 0.0 if place in (2, 3) else -RS02[place]
    value = {"above": RS02[place] * 1.001, "below": low - 0.01}.get(str(bad), bad)
    rows = np.zeros((5, 2))
    rows[place, 1] = value
    with pytest.raises(ValueError, match="outside"):
        CommandBatch([(1, RS02), (2, RS02)]).encode(rows)


@given(motor=st.integers(1, 127), value=st.integers(0, 2**32 - 1))
def test_parameters_survive_the_round_trip(motor: int, value: int) -> None:
    frame = robstride.write_parameter(HOST, motor, Parameter.CAN_TIMEOUT, value)
    assert robstride.split(frame.arbitration_id) == (Kind.WRITE, HOST, motor)
    assert frame.payload[:2] == b"\x28\x70"
    assert robstride.unpack_value(Parameter.CAN_TIMEOUT, frame.payload[4:]) == value
    reply = BusFrame(robstride.address(Kind.READ, motor, HOST), frame.payload, True)
    assert robstride.decode_parameter(reply) == (motor, 0x7028, frame.payload[4:])


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        (Parameter.TORQUE_LIMIT, math.nan),
        (Parameter.TORQUE_LIMIT, math.inf),
        (Parameter.TORQUE_LIMIT, 1e39),
        (Parameter.CAN_TIMEOUT, -1),
        (Parameter.CAN_TIMEOUT, 2**32),
        (Parameter.CAN_TIMEOUT, 0.5),
        (Parameter.CAN_TIMEOUT, math.nan),
        (Parameter.CAN_TIMEOUT, -math.inf),
        (Parameter.RUN_MODE, 256),
    ],
)
def test_a_parameter_refuses_what_it_cannot_hold(parameter: Parameter, value: float) -> None:
    with pytest.raises(ValueError, match=r"cannot be|cannot convert"):
        robstride.pack_value(parameter, value)


def test_what_is_no_answer_is_none() -> None:
    for frame in (
        BusFrame(robstride.address(Kind.STATE, 1, HOST), bytes(8)),
        BusFrame(robstride.address(Kind.STATE, 1, HOST), bytes(7), True),
        BusFrame(robstride.address(Kind.ENABLE, 1, HOST), bytes(8), True),
    ):
        assert robstride.decode_state(RS02, frame) is None
        assert robstride.decode_parameter(frame) is None
    with pytest.raises(ValueError, match="target 256"):
        robstride.address(Kind.STATE, 1, 256)
