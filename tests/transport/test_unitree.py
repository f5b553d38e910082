"""GO-M8010-6 frames against reference vectors, and what may never be encoded."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neon_edge.transport.protocol import unitree
from neon_edge.transport.protocol.unitree import Command, CommandStream, Reply, ReplyStream

POSITION = math.tau / 32768 / unitree.GEAR
VELOCITY = math.tau / 256 / unitree.GEAR
TORQUE = unitree.GEAR / 256
GAIN = 25.6 * unitree.GEAR**2 / 32768
"""One count of each, at the output."""


def test_the_catalogue_check_value() -> None:
    # CRC-16/KERMIT in Greg Cook's catalogue of parametrised CRC algorithms.
    assert unitree.crc_ccitt(b"123456789") == 0x2189


@pytest.mark.parametrize(
    ("command", "vector"),
    [
        (Command(0, unitree.FOC), "FE EE 10" + 12 * " 00" + " B5 79"),
        (
            # At the rotor 6.28 rad/s and kd 0.05: behind the gear, a 6.33rd and 6.33² times.
            Command(1, unitree.FOC, velocity=6.28 / 6.33, kd=0.05 * 6.33**2),
            "FE EE 11 00 00 00 01 00 00 00 00 00 00 40 00 83 77",
        ),
    ],
)
def test_reference_frames(command: Command, vector: str) -> None:
    assert unitree.encode_command(command) == bytes.fromhex(vector)


@given(
    motor=st.integers(0, 15),
    mode=st.sampled_from([unitree.LOCK, unitree.FOC]),
    position=st.floats(-1000, 1000),
    velocity=st.floats(-unitree.VELOCITY_MAX, unitree.VELOCITY_MAX),
    kp=st.floats(0, unitree.GAIN_MAX),
    kd=st.floats(0, unitree.GAIN_MAX),
    torque=st.floats(-unitree.TORQUE_MAX, unitree.TORQUE_MAX),
)
def test_commands_come_back_within_half_a_step(
    motor: int, mode: int, position: float, velocity: float, kp: float, kd: float, torque: float
) -> None:
    sent = Command(motor, mode, position, velocity, kp, kd, torque)
    (heard,) = CommandStream().feed(unitree.encode_command(sent))
    assert heard[:2] == (motor, mode)
    for got, value, step in zip(
        heard[2:], sent[2:], (POSITION, VELOCITY, GAIN, GAIN, TORQUE), strict=True
    ):
        assert abs(got - value) <= step * 0.5001


@given(
    motor=st.integers(0, 15),
    mode=st.integers(0, 7),
    position=st.floats(-1000, 1000),
    velocity=st.floats(-unitree.VELOCITY_MAX, unitree.VELOCITY_MAX),
    torque=st.floats(-unitree.TORQUE_MAX, unitree.TORQUE_MAX),
    celsius=st.integers(-128, 127),
    error=st.integers(0, 7),
    force=st.integers(0, 4095),
)
def test_replies_come_back_within_half_a_step(
    motor: int,
    mode: int,
    position: float,
    velocity: float,
    torque: float,
    celsius: int,
    error: int,
    force: int,
) -> None:
    sent = Reply(motor, mode, position, velocity, torque, celsius, error, force)
    (heard,) = ReplyStream().feed(unitree.encode_reply(sent))
    assert (heard[:2], heard[5:]) == ((motor, mode), (celsius, error, force))
    for got, value, step in zip(heard[2:5], sent[2:5], (POSITION, VELOCITY, TORQUE), strict=True):
        assert abs(got - value) <= step * 0.5001


@pytest.mark.parametrize(
    ("field", "most"),
    [
        ("position", unitree.POSITION_MAX),
        ("velocity", unitree.VELOCITY_MAX),
        ("kp", unitree.GAIN_MAX),
        ("kd", unitree.GAIN_MAX),
        ("torque", unitree.TORQUE_MAX),
    ],
)
def test_what_is_not_finite_or_does_not_fit_never_becomes_bytes(field: str, most: float) -> None:
    low = -0.01 if field in ("kp", "kd") else -1.001 * most
    for bad in (math.nan, math.inf, -math.inf, 1.001 * most, low, 1e300):
        with pytest.raises(ValueError, match="does not fit"):
            unitree.encode_command(Command(1, unitree.FOC)._replace(**{field: bad}))


@pytest.mark.parametrize(("motor", "mode"), [(16, 1), (-1, 1), (1, 2), (1, 7)])
def test_no_command_for_who_or_what_does_not_exist(motor: int, mode: int) -> None:
    with pytest.raises(ValueError, match="motor"):
        unitree.encode_command(Command(motor, mode))
