"""CANopen and CiA 402 frames against the standards' tables, and what may never be encoded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neon_edge.transport.protocol import canopen
from neon_edge.transport.protocol.canopen import DriveState, Entry, State
from neon_edge.types import BusFrame

nodes = st.integers(1, canopen.HIGHEST_NODE)
counts = st.integers(-(2**31) + 1, 2**31 - 1)
torques = st.integers(-32767, 32767)


def test_published_ids() -> None:
    # CiA 301: NMT, SYNC, emergency, TPDO1, TPDO2, RPDO1, SDO both ways, heartbeat.
    assert canopen.nmt(canopen.START, 5) == BusFrame(0x000, b"\x01\x05")
    assert canopen.SYNC == 0x080
    assert canopen.emergency(5, 0x8130) == BusFrame(0x085, bytes.fromhex("3081110000000000"))
    assert (canopen.STATE_PDO, canopen.SPEED_PDO, canopen.COMMAND_PDO) == (0x180, 0x280, 0x200)
    assert (canopen.FROM_DRIVE, canopen.TO_DRIVE) == (0x580, 0x600)
    assert canopen.heartbeat(5) == BusFrame(0x705, b"\x05")
    assert canopen.upload(5, Entry.STATUS) == BusFrame(0x605, bytes.fromhex("4041600000000000"))
    put = canopen.download(5, Entry.CONSUMER_HEARTBEAT, 0x007F0064, 4)
    assert put == BusFrame(0x605, bytes.fromhex("2316100164007F00"))
    assert canopen.download(5, Entry.MODE, 8, 1).payload == bytes.fromhex("2F60600008000000")


def test_published_words_of_a_drive() -> None:
    # CiA 402: control words 6, 7, F, quick stop 2, fault reset 80; CSP is mode 8.
    words = (canopen.SHUTDOWN, canopen.SWITCH_ON, canopen.ENABLE, canopen.QUICK_STOP)
    assert words == (6, 7, 15, 2)
    assert (canopen.FAULT_RESET, canopen.DISABLE_VOLTAGE) == (0x80, 0)
    assert canopen.CYCLIC_POSITION == 8
    for status in range(1 << 16):
        state = canopen.state_of(status)
        assert (state == State.ENABLED) == (status & 0x6F == 0x27)
        assert (state == State.QUICK_STOP) == (status & 0x6F == 0x07)
        assert (state == State.FAULT) == (status & 0x4F == 0x08)
        assert (state == State.SWITCHED_ON) == (status & 0x6F == 0x23)


@given(node=nodes, control=st.integers(0, 0xFFFF), position=counts, torque=torques)
def test_commands_survive_the_round_trip(
    node: int, control: int, position: int, torque: int
) -> None:
    frame = canopen.command(node, control, position, torque)
    assert frame.arbitration_id == 0x200 + node
    assert canopen.decode_command(frame.payload) == (control, position, torque)


@given(node=nodes, status=st.integers(0, 0xFFFF), position=counts, torque=torques)
def test_states_survive_the_round_trip(node: int, status: int, position: int, torque: int) -> None:
    drive = DriveState(status, position, torque)
    assert canopen.decode_state(canopen.state(node, drive).payload) == drive


@given(entry=st.sampled_from(list(Entry)), size=st.sampled_from([1, 2, 4]), number=st.integers())
def test_sdos_survive_the_round_trip_or_are_refused(entry: Entry, size: int, number: int) -> None:
    for make, kind in ((canopen.download, 0x20), (canopen.uploaded, 0x40)):
        if not -(1 << 8 * size - 1) <= number < 1 << 8 * size:
            with pytest.raises(ValueError, match="does not fit"):
                make(5, entry, number, size)
            continue
        sdo = canopen.split_sdo(make(5, entry, number, size).payload)
        assert (sdo.entry, sdo.command & 0xE0) == (entry, kind)
        assert canopen.sdo_size(sdo.command) == size
        assert int.from_bytes(sdo.value[:size], "little") == number % (1 << 8 * size)
        assert not any(sdo.value[size:])


@given(node=nodes, code=st.integers(0, 2**32 - 1), error=st.integers(0, 0xFFFF))
def test_refusals_and_emergencies_survive_the_round_trip(node: int, code: int, error: int) -> None:
    sdo = canopen.split_sdo(canopen.aborted(node, Entry.MODE, code).payload)
    assert (sdo.command, sdo.entry) == (0x80, Entry.MODE)
    assert int.from_bytes(sdo.value, "little") == code
    assert canopen.decode_emergency(canopen.emergency(node, error).payload) == error


@pytest.mark.parametrize(
    ("position", "torque"),
    [
        (2**31, 0), (-(2**31), 0), (0, 32768), (0, -32768), (float("nan"), 0), (0, float("nan")),
        (float("inf"), 0), (0, float("-inf")),
    ],
)  # fmt: skip
def test_what_is_not_finite_or_does_not_fit_never_becomes_bytes(
    position: float, torque: float
) -> None:
    with pytest.raises(ValueError, match="thousandths"):
        canopen.command(1, canopen.ENABLE, position, torque)  # type: ignore[arg-type]


def test_wrong_lengths_are_refused() -> None:
    for decode in (
        canopen.decode_command, canopen.decode_state, canopen.split_sdo, canopen.decode_emergency,
    ):  # fmt: skip
        for length in (0, 7, 9):
            with pytest.raises(ValueError, match="bytes where"):
                decode(bytes(length))
