"""STS and SCS packets against published ones, and what may never be encoded."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neon_edge.transport.chain import Placed, joint_counters
from neon_edge.transport.families import make_chain
from neon_edge.transport.feetech_chain import FeetechChain
from neon_edge.transport.protocol import feetech
from neon_edge.transport.protocol.feetech import Packet, Stream
from tests.transport.families import robot_of
from tests.transport.inline import InlineRig

ids = st.integers(0, feetech.HIGHEST_ID)
ORDERS = ("little", "big")


def packed(text: str) -> bytes:
    return bytes.fromhex(text)


@pytest.mark.parametrize(
    ("made", "published"),
    [
        (feetech.ping(1), "FF FF 01 02 01 FB"),
        (
            # Goal position: servo 1 to 2048, servo 2 to 1000.
            feetech.sync_write(42, 2, [(1, b"\x00\x08"), (2, b"\xe8\x03")]),
            "FF FF FE 0A 83 2A 02 01 00 08 02 E8 03 52",
        ),
    ],
)
def test_published_packets(made: bytes, published: str) -> None:
    assert made == packed(published)


@given(servo=ids, word=st.integers(0, 255), body=st.binary(max_size=feetech.LONGEST - 2))
def test_packets_survive_the_round_trip(servo: int, word: int, body: bytes) -> None:
    stream = Stream()
    assert stream.feed(feetech.encode(servo, word, body)) == [Packet(servo, word, body)]
    assert (stream.crc_errors, stream.bytes_dropped) == (0, 0)


@given(
    servos=st.lists(ids, max_size=8, unique=True),
    address=st.integers(0, 70),
    length=st.integers(1, 12),
    fill=st.integers(0, 255),
)
def test_sync_packets_survive_the_round_trip(
    servos: list[int], address: int, length: int, fill: int
) -> None:
    entries = [(servo, bytes([fill]) * length) for servo in servos]
    (packet,) = Stream().feed(feetech.sync_write(address, length, entries))
    assert packet[:2] == (feetech.BROADCAST, feetech.Instruction.SYNC_WRITE)
    assert packet.body[:2] == bytes((address, length))
    cut = range(2, len(packet.body), length + 1)
    assert [(packet.body[k], packet.body[k + 1 : k + 1 + length]) for k in cut] == entries
    (packet,) = Stream().feed(feetech.sync_read(address, length, servos))
    assert packet.body == bytes((address, length, *servos))


@given(number=st.integers(-1023, 1023), bit=st.sampled_from([10, 11, 15]))
def test_signs_survive_the_round_trip(number: int, bit: int) -> None:
    assert feetech.signed(feetech.unsigned(number, bit), bit) == number


@given(
    position=st.integers(-32767, 32767),
    speed=st.integers(-32767, 32767),
    load=st.integers(-1023, 1023),
    order=st.sampled_from(ORDERS),
)
def test_states_survive_the_round_trip(position: int, speed: int, load: int, order: str) -> None:
    values = feetech.encode_present(position, speed, load, order)
    assert len(values) == feetech.PRESENT_BYTES
    assert feetech.decode_present(values, order) == (position, speed, load)


@pytest.mark.parametrize("servo", [-1, 254, 255])
def test_no_part_of_a_sync_packet_is_for_an_id_that_no_servo_has(servo: int) -> None:
    with pytest.raises(ValueError, match="servo id"):
        feetech.sync_write(42, 2, [(servo, b"\0\0")])
    with pytest.raises(ValueError, match="servo id"):
        feetech.sync_read(56, 6, [servo])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="servo id"):
        feetech.ping(255)
    with pytest.raises(ValueError, match="field of 2"):
        feetech.sync_write(42, 2, [(1, b"\0")])
    with pytest.raises(ValueError, match="one packet"):
        feetech.encode(1, 3, bytes(250))
    for number, bit in ((1024, 10), (-1024, 10), (32768, 15)):
        with pytest.raises(ValueError, match="and a sign"):
            feetech.unsigned(number, bit)
    with pytest.raises(ValueError, match="bytes where"):
        feetech.decode_present(b"short")


@pytest.mark.parametrize("family", ["feetech", "feetech_scs"])
def test_goals_that_are_not_finite_or_not_within_a_turn_are_refused(family: str) -> None:
    config = robot_of(family)
    rig = InlineRig(config)
    placed = [Placed(k, joint) for k, joint in enumerate(config.joints)]
    chain = make_chain(config.buses[0], rig.bus, placed, joint_counters(3), rig.clock, 50.0)
    assert isinstance(chain, FeetechChain)
    turn = 4096 if family == "feetech" else 1024
    middle = feetech.pack_word(turn // 2, "little" if family == "feetech" else "big")
    assert chain._goals(np.zeros(3)) == [middle] * 3
    for bad in (math.nan, math.inf, -math.inf, 3.2, -3.2, 1e300):
        with pytest.raises(ValueError, match="within one turn"):
            chain._goals(np.array([0.0, bad, 0.0]))
