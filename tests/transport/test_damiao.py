"""MIT frames against published vectors, and what may never be encoded."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neon_edge.transport.protocol import damiao
from neon_edge.transport.protocol.damiao import Command, Feedback, Ranges, Register
from neon_edge.transport.protocol.damiao_batch import CommandBatch

DM4310 = Ranges(12.5, 30.0, 10.0)
ZERO = Command(0.0, 0.0, 0.0, 0.0, 0.0)

commands = st.builds(
    Command,
    st.floats(-12.5, 12.5),
    st.floats(-30, 30),
    st.floats(0, 500),
    st.floats(0, 5),
    st.floats(-10, 10),
).filter(lambda c: not (c.position == 12.5 and c.velocity == 30 and c.kp == 500 and c.kd == 5))


@pytest.mark.parametrize(
    ("command", "published"),
    [
        (ZERO, "7F FF 7F F0 00 00 07 FF"),
        (Command(0.5, 0.0, 50.0, 1.0, 0.0), "85 1E 7F F1 99 33 37 FF"),
    ],
)
def test_published_frames(command: Command, published: str) -> None:
    payload = bytes.fromhex(published)
    assert damiao.encode_command(DM4310, command) == payload
    assert CommandBatch([DM4310]).encode(np.array([command]).T) == [payload]


def test_a_frame_of_one_who_rounds_is_within_a_step_of_ours() -> None:
    # "80 00 80 00 00 00 08 00" is the same zero command from an implementation that rounds.
    rounded = damiao.decode_command(DM4310, bytes.fromhex("8000800000000800"))
    ours = damiao.decode_command(DM4310, damiao.encode_command(DM4310, ZERO))
    for field, step in (("position", 25 / 65535), ("velocity", 60 / 4095), ("torque", 20 / 4095)):
        assert getattr(rounded, field) - getattr(ours, field) == pytest.approx(step)
        assert getattr(ours, field) < 0 < getattr(rounded, field)


@given(command=commands)
def test_commands_come_back_within_one_step_below(command: Command) -> None:
    back = damiao.decode_command(DM4310, damiao.encode_command(DM4310, command))
    steps = (25 / 65535, 60 / 4095, 500 / 4095, 5 / 4095, 20 / 4095)
    for sent, got, step in zip(command, back, steps, strict=True):
        assert -1e-9 <= sent - got <= step + 1e-9


@given(many=st.lists(commands, min_size=1, max_size=7))
def test_the_batch_makes_the_same_bytes(many: list[Command]) -> None:
    batch = CommandBatch([DM4310] * len(many))
    assert batch.encode(np.array(many).T) == [damiao.encode_command(DM4310, c) for c in many]


@given(position=st.floats(-12.5, 12.5))
def test_truncation_is_the_published_formula_in_float_arithmetic(position: float) -> None:
    payload = damiao.encode_command(DM4310, ZERO._replace(position=position))
    raw = int.from_bytes(payload[:2], "big")
    exact = (Fraction(position) + Fraction(25, 2)) / 25 * 65535
    assert raw == int((position - -12.5) / (12.5 - -12.5) * 65535)
    assert abs(raw - exact) <= 1 + Fraction(1, 10**6)


BAD = [
    pytest.param(field, value, id=f"{field}={value}")
    for field, values in (
        ("position", (12.51, -12.51)),
        ("velocity", (30.1, -30.1)),
        ("kp", (-0.1, 500.1)),
        ("kd", (-0.01, 5.01)),
        ("torque", (10.1, -10.1)),
    )
    for value in (*values, math.nan, math.inf, -math.inf)
]


@pytest.mark.parametrize(("field", "value"), BAD)
def test_what_is_not_finite_or_out_of_range_never_becomes_bytes(field: str, value: float) -> None:
    bad = ZERO._replace(**{field: value})
    with pytest.raises(ValueError, match="does not fit"):
        damiao.encode_command(DM4310, bad)
    with pytest.raises(ValueError, match="outside"):
        CommandBatch([DM4310, DM4310]).encode(np.array([ZERO, bad]).T)


def test_a_command_that_spells_a_special_frame_is_refused() -> None:
    # Full scale everywhere would read "enable".
    spelled = damiao.decode_command(DM4310, damiao.ENABLE)
    assert spelled[:4] == (12.5, 30.0, 500.0, 5.0)
    inside = Command(*np.clip(spelled, -DM4310.position * 1000, 10.0 * 1000))
    with pytest.raises(ValueError, match="special"):
        damiao.encode_command(DM4310, inside)
    with pytest.raises(ValueError, match="special"):
        CommandBatch([DM4310]).encode(np.array([inside]).T)


@given(
    position=st.floats(-12.5, 12.5),
    velocity=st.floats(-30, 30),
    torque=st.floats(-10, 10),
    condition=st.sampled_from(list(damiao.Condition)),
)
def test_feedback_comes_back_within_one_step(
    position: float, velocity: float, torque: float, condition: damiao.Condition
) -> None:
    sent = Feedback(0x13 & 0xF, condition, position, velocity, torque, 35, 61)
    back = damiao.decode_feedback(DM4310, damiao.encode_feedback(DM4310, sent))
    assert (back.low_id, back.condition, back.board_celsius, back.rotor_celsius) == (
        3,
        condition,
        35,
        61,
    )
    assert back.position == pytest.approx(position, abs=25 / 65535 + 1e-9)
    assert back.velocity == pytest.approx(velocity, abs=60 / 4095 + 1e-9)
    assert back.torque == pytest.approx(torque, abs=20 / 4095 + 1e-9)


def test_feedback_of_a_joint_past_full_scale_saturates_as_firmware_does() -> None:
    sent = Feedback(1, 1, 99.0, -99.0, 99.0, 0, 0)
    assert damiao.decode_feedback(DM4310, damiao.encode_feedback(DM4310, sent))[2:5] == (
        12.5,
        -30.0,
        10.0,
    )


def test_register_frames() -> None:
    # id 0x0105, read (33), register 21.
    assert damiao.read_register(0x105, Register.POSITION_MAX) == bytes.fromhex("0501331500000000")
    # 100 ms on register 9 is 2000 counts of 50 µs.
    written = damiao.write_register(1, Register.TIMEOUT, 100 * damiao.WATCHDOG_PER_MS)
    assert written == bytes.fromhex("01005509D0070000")
    asked = damiao.decode_register(written)
    assert asked is not None
    assert (asked.motor, asked.writes, asked.register) == (1, True, Register.TIMEOUT)
    assert damiao.unpack_register(asked.register, asked.value) == 2000
    assert damiao.is_refresh(damiao.refresh(1))
    assert damiao.decode_register(damiao.refresh(1)) is None


@pytest.mark.parametrize(
    ("register", "value"),
    [(Register.POSITION_MAX, math.nan), (Register.TIMEOUT, -1), (Register.TIMEOUT, 0.5)],
)
def test_a_register_refuses_what_it_cannot_hold(register: Register, value: float) -> None:
    with pytest.raises(ValueError, match="register"):
        damiao.write_register(1, register, value)


@pytest.mark.parametrize("length", [0, 7, 9])
def test_a_wrong_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="bytes where"):
        damiao.decode_feedback(DM4310, bytes(length))


def test_a_batch_reads_feedback_as_the_single_codec_does() -> None:
    draw = np.random.default_rng(3)
    ranges = [Ranges(12.5, 30.0, 10.0), Ranges(12.5, 45.0, 54.0), Ranges(12.5, 10.0, 28.0)]
    batch = CommandBatch(ranges)
    for places in ([0, 1, 2], [2, 0], [1]):
        payloads = [draw.bytes(8) for _ in places]
        states, conditions = batch.decode(payloads, places)
        for place, payload, state, condition in zip(
            places, payloads, states, conditions, strict=True
        ):
            single = damiao.decode_feedback(ranges[place], payload)
            assert condition == single.condition
            assert state == pytest.approx(single[2:5], rel=1e-12, abs=1e-12)
