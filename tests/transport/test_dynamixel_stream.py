"""The parser among noise: nothing false comes out, and what is true comes out in the end."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from neon_edge.transport.protocol import dynamixel
from neon_edge.transport.protocol.crc import crc16
from neon_edge.transport.protocol.dynamixel_stream import LONGEST, StreamParser

FIRST = dynamixel.status(1, 0, b"\xff\xff\xfdabc")
SECOND = dynamixel.status(2, 0x80, b"xyz")
noise = st.lists(
    st.one_of(
        st.binary(max_size=12),
        st.sampled_from([b"\xff\xff\xfd\x00", b"\xff", b"\xff\xff\xfd\xfd", FIRST[:-1], FIRST[:6]]),
    ),
    max_size=6,
).map(b"".join)


@given(cuts=st.lists(st.integers(0, len(FIRST + SECOND)), max_size=10))
def test_packets_may_arrive_in_any_pieces(cuts: list[int]) -> None:
    stream = FIRST + SECOND
    places = sorted({0, *cuts, len(stream)})
    parser = StreamParser()
    found = [p for a, b in itertools.pairwise(places) for p in parser.feed(stream[a:b])]
    assert [packet.servo for packet in found] == [1, 2]
    assert (parser.crc_errors, parser.bytes_dropped) == (0, 0)


@given(before=noise, between=noise)
def test_it_finds_its_way_back_after_noise(before: bytes, between: bytes) -> None:
    parser = StreamParser()
    found = parser.feed(before + FIRST + between + SECOND)
    # A header in the noise may claim up to LONGEST bytes; after those, the truth must be out.
    found += parser.feed(bytes(LONGEST + 16))
    assert {1, 2} <= {packet.servo for packet in found}


@given(stream=noise, chunk=st.integers(1, 40))
def test_nothing_comes_out_without_its_crc(stream: bytes, chunk: int) -> None:
    parser = StreamParser()
    for start in range(0, len(stream), chunk):
        for packet in parser.feed(stream[start : start + chunk]):
            raw = dynamixel.encode(packet.servo, packet.instruction, packet.body)
            unstuffed = _unstuffed(packet.servo, packet.instruction, packet.body)
            assert raw in stream or unstuffed in stream


def _unstuffed(servo: int, instruction: int, body: bytes) -> bytes:
    head = b"\xff\xff\xfd\x00" + bytes((servo,)) + (len(body) + 3).to_bytes(2, "little")
    head += bytes((instruction,)) + body
    return head + crc16(head).to_bytes(2, "little")


@given(place=st.integers(0, len(SECOND) - 1), flip=st.integers(1, 255))
def test_one_damaged_byte_is_never_accepted(place: int, flip: int) -> None:
    damaged = bytearray(SECOND)
    damaged[place] ^= flip
    parser = StreamParser()
    found = parser.feed(bytes(damaged)) + parser.feed(bytes(LONGEST + 16))
    assert found == []


def test_damage_is_counted_and_the_next_packet_is_found() -> None:
    parser = StreamParser()
    damaged = FIRST[:-1] + bytes((FIRST[-1] ^ 1,))
    assert [packet.servo for packet in parser.feed(damaged + SECOND)] == [2]
    assert parser.crc_errors == 1
    assert parser.bytes_dropped == len(FIRST)


def test_an_unfinished_packet_can_be_forgotten() -> None:
    parser = StreamParser()
    assert parser.feed(FIRST[:-3]) == []
    parser.forget()
    assert [packet.servo for packet in parser.feed(SECOND)] == [2]
