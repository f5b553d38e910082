"""Readings of sensors: what is whole and finite comes back bit for bit, and nothing else does."""

import struct
import zlib

import hypothesis.extra.numpy as hnp
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neon_edge.transport.protocol.sealed import Head, cut
from neon_edge.transport.protocol.values import (
    MAGIC,
    ValuesDecoder,
    encode_values,
    values_bytes,
)

Numbers = npt.NDArray[np.float32]
U32 = st.integers(0, 2**32 - 1)
HEADS = st.builds(Head, U32, U32, st.integers(-(2**63), 2**63 - 1))
FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)


def arrays(size: int | st.SearchStrategy[int]) -> st.SearchStrategy[Numbers]:
    return hnp.arrays(np.float32, size, elements=FINITE)


def test_a_reading_byte_for_byte() -> None:
    """Written out by hand from the tables of both modules, as a stranger's sender does it."""
    body = struct.pack("<4sB3xIIq2f", b"NESV", 1, 7, 9, 123456789, 1.5, -0.25)
    assert body.hex() == "4e45535601000000070000000900000015cd5b07000000000000c03f000080be"
    assert encode_values(Head(7, 9, 123456789), [1.5, -0.25]) == body + struct.pack(
        "<I", zlib.crc32(body)
    )
    assert values_bytes(2) == len(body) + 4


@given(HEADS, arrays(st.integers(1, 300)))
def test_a_reading_comes_back_to_the_bit(head: Head, numbers: Numbers) -> None:
    decode = ValuesDecoder(numbers.size)
    for raw in (encode_values(head, numbers), memoryview(encode_values(head, numbers))):
        back = decode(raw)
        assert back is not None
        assert Head(*back[:3]) == head
        assert back.numbers.tobytes() == numbers.tobytes()


@given(HEADS, arrays(6), st.integers(0, values_bytes(6) * 8 - 1))
def test_no_flipped_bit_is_believed(head: Head, numbers: Numbers, bit: int) -> None:
    raw = bytearray(encode_values(head, numbers))
    raw[bit // 8] ^= 1 << bit % 8
    assert ValuesDecoder(6)(raw) is None


@given(st.binary(max_size=100), st.integers(1, 20))
def test_noise_is_no_reading(raw: bytes, size: int) -> None:
    assert ValuesDecoder(size)(raw) is None


@given(HEADS, arrays(st.integers(1, 40)), st.integers(1, 40))
def test_another_number_of_numbers_is_none(head: Head, numbers: Numbers, size: int) -> None:
    taken = ValuesDecoder(size)(encode_values(head, numbers)) is not None
    assert taken is (size == numbers.size)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", range(3))
def test_what_is_not_finite_neither_leaves_nor_arrives(bad: float, place: int) -> None:
    numbers = [1.0, 2.0, 3.0]
    numbers[place] = bad
    with pytest.raises(ValueError, match="not finite"):
        encode_values(Head(1, 1, 1), numbers)
    body = struct.pack("<4sB3xIIq3f", MAGIC, 1, 1, 1, 1, *numbers)
    decode = ValuesDecoder(3)
    assert decode(body + struct.pack("<I", zlib.crc32(body))) is None
    # Nor does a bad one spoil the next.
    assert decode(encode_values(Head(1, 2, 2), [1.0, 2.0, 3.0])) is not None


def test_an_imu_s_reading_of_the_same_size_is_none_of_ours() -> None:
    body = struct.pack("<4sB3xIIq7f", b"NEIM", 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0)
    assert ValuesDecoder(7)(body + struct.pack("<I", zlib.crc32(body))) is None


@given(st.lists(st.tuples(st.binary(max_size=40), arrays(3)), max_size=6), st.integers(1, 60))
def test_every_reading_of_a_dirty_stream_is_found_however_it_is_cut(
    parts: list[tuple[bytes, Numbers]], step: int
) -> None:
    whole = [encode_values(Head(1, at, at), numbers) for at, (_, numbers) in enumerate(parts)]
    # A half of a reading, then noise, before every whole one.
    raw = b"".join(w[:25] + noise + w for w, (noise, _) in zip(whole, parts, strict=True))
    stream, found = bytearray(), []
    for at in range(0, len(raw), step):
        stream += raw[at : at + step]
        found += list(cut(stream, MAGIC, values_bytes(3)))
        assert len(stream) < values_bytes(3)
    assert found == whole
