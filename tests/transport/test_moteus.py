"""moteus sub-frames against the published example, and what may never be encoded."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neon_edge.transport.exchange import CanExchange
from neon_edge.transport.moteus_dialect import MoteusDialect
from neon_edge.transport.protocol import moteus
from neon_edge.transport.protocol.moteus import Mode, Register
from neon_edge.transport.protocol.socketcan import FD_LENGTHS
from neon_edge.types import BusFrame
from tests.transport.families import robot_of
from tests.transport.inline import InlineRig, inline_robot

motors = st.integers(1, 127)
GOOD: tuple[float, ...] = (0.5, 1.0, 2.0, 0.5, 0.25, 3.0, 0.1)
"""Position, velocity, torque, both scales, most torque, time-out."""


def command(motor: int, values: tuple[float, ...]) -> BusFrame:
    position, velocity, torque, kp, kd, most, timeout_s = values
    return moteus.command(motor, (position, velocity, torque), (kp, kd), most, timeout_s)


def test_the_published_example_says_what_its_manual_says() -> None:
    # docs/reference.md: mode 10; position, velocity, torque as i16; then two reads.
    parsed = moteus.parse(bytes.fromhex("01000A07206000200150FF140400130D"))
    assert parsed.values == {
        Register.MODE: 10,
        Register.COMMAND_POSITION: pytest.approx(0x0060 * 0.0001),
        Register.COMMAND_VELOCITY: pytest.approx(0x0120 * 0.00025),
        Register.COMMAND_TORQUE: pytest.approx(-0x00B0 * 0.01),
    }
    assert parsed.asked == [
        *((register, moteus.INT16) for register in range(4)),
        *((register, moteus.INT8) for register in (0x0D, 0x0E, 0x0F)),
    ]


def test_published_ids() -> None:
    # Bit 15 asks for a reply; above 7FF the id is extended.
    asks, tells = moteus.query(5), moteus.console(5, b"x")
    assert (asks.arbitration_id, asks.extended) == (0x8005, True)
    assert (tells.arbitration_id, tells.extended) == (0x005, False)
    assert asks.fd
    assert asks.bit_rate_switch
    stop = moteus.set_mode(5, Mode.STOPPED)
    # Padded with 50 to a length that CAN FD has.
    assert stop.payload == bytes.fromhex("010000 180400 5050")[: len(stop.payload)]


@given(
    motor=motors,
    turns=st.floats(-20000, 20000),
    speed=st.floats(-20000, 20000),
    torque=st.floats(-327.67, 327.67),
    kp=st.floats(0, 1),
    kd=st.floats(0, 1),
    most=st.floats(0, 327.67),
    timeout_s=st.floats(0.001, moteus.TIMEOUT_MAX),
)
def test_commands_come_back_within_half_a_step(
    motor: int,
    turns: float,
    speed: float,
    torque: float,
    kp: float,
    kd: float,
    most: float,
    timeout_s: float,
) -> None:
    frame = command(motor, (turns * math.tau, speed * math.tau, torque, kp, kd, most, timeout_s))
    assert len(frame.payload) in FD_LENGTHS
    parsed = moteus.parse(frame.payload)
    assert parsed.values[Register.MODE] == Mode.POSITION
    for register, value, step in (
        (Register.COMMAND_POSITION, turns, moteus.POSITION_STEP),
        (Register.COMMAND_VELOCITY, speed, moteus.VELOCITY_STEP),
        (Register.COMMAND_TORQUE, torque, moteus.TORQUE_STEP),
        (Register.COMMAND_KP_SCALE, kp, moteus.SCALE_STEP),
        (Register.COMMAND_KD_SCALE, kd, moteus.SCALE_STEP),
        (Register.COMMAND_MAX_TORQUE, most, moteus.TORQUE_STEP),
        (Register.COMMAND_TIMEOUT, timeout_s, moteus.TIME_STEP),
    ):
        assert abs(parsed.values[register] - value) <= step * 0.5001 + 1e-9
    assert [register for register, _ in parsed.asked] == [0, 1, 2, 3]


@given(
    values=st.lists(
        st.tuples(
            st.sampled_from([Register.MODE, Register.POSITION, Register.TORQUE, Register.FIRMWARE]),
            st.sampled_from([moteus.INT16, moteus.INT32, moteus.FLOAT]),
            st.floats(-1, 1),
        ),
        max_size=5,
        unique_by=lambda each: each[0],
    )
)
def test_replies_come_back_within_a_step(values: list[tuple[Register, int, float]]) -> None:
    parsed = moteus.parse(moteus.reply(values))
    assert parsed.values.keys() == {register for register, _, _ in values}
    for register, kind, value in values:
        step = moteus.STEPS[register][kind] if register in moteus.STEPS else 1.0
        step = 1e-6 if kind == moteus.FLOAT else step
        assert abs(parsed.values[register] - value) <= step * 0.5001 + 1e-9


def test_what_a_controller_does_not_know_is_nan() -> None:
    for kind in (moteus.INT8, moteus.INT16, moteus.INT32, moteus.FLOAT):
        parsed = moteus.parse(moteus.reply([(Register.POSITION, kind, math.nan)]))
        assert math.isnan(parsed.values[Register.POSITION])


@pytest.mark.parametrize("place", range(7))
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e6, 1e300])
def test_what_is_not_finite_or_does_not_fit_never_becomes_bytes(place: int, bad: float) -> None:
    values = [*GOOD]
    values[place] = bad
    if bad == 1e6 and place < 2:
        values[place] = 1.01 * moteus.POSITION_MAX
    with pytest.raises(ValueError, match=r"fit|scales|time-out"):
        command(1, tuple(values))


@pytest.mark.parametrize(
    ("place", "bad"), [(3, -0.1), (3, 1.1), (4, -0.1), (4, 1.1), (5, -1.0), (6, -0.1), (6, 0.0)]
)
def test_what_has_a_sign_or_a_size_it_cannot_have_is_refused(place: int, bad: float) -> None:
    values = [*GOOD]
    values[place] = bad
    with pytest.raises(ValueError, match=r"scales|time-out"):
        command(1, tuple(values))


@pytest.mark.parametrize(
    "payload", ["01", "0100", "0D", "18", "1004", "30", "31", "41 01 05 61", "7F"]
)
def test_what_is_cut_or_unknown_is_refused(payload: str) -> None:
    with pytest.raises(ValueError, match=r"cut|error|known|console"):
        moteus.parse(bytes.fromhex(payload))


def test_no_controller_has_such_an_id_and_no_frame_such_a_length() -> None:
    with pytest.raises(ValueError, match="motor id"):
        moteus.query(128)
    with pytest.raises(ValueError, match="fit a frame"):
        moteus.frame(1, bytes(65))


@pytest.mark.parametrize("mode", [math.nan, -1.0, 4096.0])
def test_a_mode_that_no_controller_has_is_no_state(mode: float) -> None:
    with inline_robot(robot_of("moteus")) as inline:
        robot = inline.robot
        robot.enable()
        before = robot.read().received_ns.copy()
        inline.clock.advance_ns(1)
        registers = [(r, moteus.INT32, 0.0) for r in (Register.POSITION, 2, 3)]
        body = moteus.reply([(Register.MODE, moteus.INT32, mode), *registers])
        inline.buses["line"]._waiting.append(moteus.frame(0x100, body))
        assert (robot.read().received_ns == before).all()


def test_a_garbled_answer_at_bring_up_is_no_answer() -> None:
    rig = InlineRig(robot_of("moteus"))
    exchange = CanExchange(rig.bus, rig.config.joints, rig.clock)
    dialect = MoteusDialect(exchange, [joint.motor for joint in rig.config.joints])  # type: ignore[misc]
    send = rig.bus.send

    def garbled(frames: Sequence[BusFrame]) -> int:
        rig.bus._waiting.append(BusFrame(0x100, b"\x29\x00", fd=True))
        return send(frames)

    rig.bus.send = garbled  # type: ignore[method-assign]
    assert len(dialect.positions()) == 3
