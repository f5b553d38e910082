"""IMU readings: what is whole and sound comes back bit for bit, in datagrams and in streams."""

import math
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neon_edge.transport.protocol.attitude import (
    MAGIC,
    READING_BYTES,
    UNIT_WITHIN,
    Quaternion,
    Reading,
    decode_reading,
    encode_reading,
    tilt_rad,
)
from neon_edge.transport.protocol.sealed import cut

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
U32 = st.integers(0, 2**32 - 1)
PART = st.floats(-1, 1, width=32)


def _unit(parts: tuple[float, ...]) -> Quaternion:
    w, x, y, z = np.float32(np.array(parts) / math.hypot(*parts)).tolist()
    return w, x, y, z


UNITS = st.tuples(PART, PART, PART, PART).filter(lambda q: math.hypot(*q) > 0.1).map(_unit)
READINGS = st.builds(
    Reading, U32, U32, st.integers(-(2**63), 2**63 - 1), UNITS, st.tuples(FINITE, FINITE, FINITE)
)
READING = Reading(7, 9, 123456789, (0.5, -0.5, 0.5, 0.5), (1.0, -0.25, 0.5))


def signed(body: bytes) -> bytes:
    return body + struct.pack("<I", zlib.crc32(body))


def test_a_reading_byte_for_byte() -> None:
    """Written out by hand from the table of the module."""
    body = bytes.fromhex(
        "4e45494d 01 000000 07000000 09000000 15cd5b0700000000"
        "0000003f 000000bf 0000003f 0000003f 0000803f 000080be 0000003f"
    )
    assert encode_reading(READING) == signed(body)
    assert READING_BYTES == 56


@given(READINGS)
def test_a_reading_comes_back(reading: Reading) -> None:
    assert decode_reading(encode_reading(reading)) == reading


@given(READINGS, st.integers(0, READING_BYTES * 8 - 1))
def test_no_flipped_bit_is_believed(reading: Reading, bit: int) -> None:
    raw = bytearray(encode_reading(reading))
    raw[bit // 8] ^= 1 << bit % 8
    assert decode_reading(bytes(raw)) is None
    assert not list(cut(raw, MAGIC, READING_BYTES))


@given(st.binary(max_size=80))
def test_noise_is_no_reading(raw: bytes) -> None:
    assert decode_reading(raw) is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", range(7))
def test_what_is_not_finite_neither_leaves_nor_arrives(bad: float, place: int) -> None:
    values = [*READING.orientation, *READING.turn]
    values[place] = bad
    with pytest.raises(ValueError, match="not finite"):
        encode_reading(
            READING._replace(orientation=tuple(values[:4]), turn=tuple(values[4:]))  # type: ignore[arg-type]
        )
    body = bytearray(encode_reading(READING)[:-4])
    struct.pack_into("<f", body, 24 + 4 * place, bad)
    assert decode_reading(signed(bytes(body))) is None


@pytest.mark.parametrize("sense", [-1, 1])
def test_a_quaternion_of_another_length_is_refused_from_both_sides(sense: int) -> None:
    for share, taken in ((0.98, True), (1.02, False)):
        length = 1 + sense * UNIT_WITHIN * share
        body = bytearray(encode_reading(READING)[:-4])
        struct.pack_into("<4f", body, 24, length, 0, 0, 0)
        assert (decode_reading(signed(bytes(body))) is not None) is taken
    for nothing in ((0.0,) * 4, (1.0,) * 4):
        struct.pack_into("<4f", body, 24, *nothing)
        assert decode_reading(signed(bytes(body))) is None


def test_other_versions_beginnings_and_lengths_are_refused() -> None:
    raw = encode_reading(READING)
    for place, value in ((4, 2), (0, 0x4F)):
        body = bytearray(raw[:-4])
        body[place] = value
        assert decode_reading(signed(bytes(body))) is None
    assert decode_reading(raw + b"\0") is None
    assert decode_reading(raw[:-1]) is None


@given(st.lists(st.tuples(st.binary(max_size=70), READINGS), max_size=6), st.integers(1, 120))
def test_every_reading_of_a_dirty_stream_is_found_however_it_is_cut(
    parts: list[tuple[bytes, Reading]], step: int
) -> None:
    # A half of a reading, then noise, before every whole one.
    raw = b"".join(encode_reading(r)[:40] + noise + encode_reading(r) for noise, r in parts)
    stream, found = bytearray(), []
    for at in range(0, len(raw), step):
        stream += raw[at : at + step]
        found += list(cut(stream, MAGIC, READING_BYTES))
        assert len(stream) < READING_BYTES
    assert found == [encode_reading(reading) for _, reading in parts]


def test_a_beginning_that_is_cut_in_two_is_kept() -> None:
    stream = bytearray(b"xx" + MAGIC[:2])
    assert not list(cut(stream, MAGIC, READING_BYTES))
    assert stream.endswith(MAGIC[:2])


@given(UNITS)
def test_tilt_is_the_angle_of_the_rotated_axis(orientation: Quaternion) -> None:
    """Against the rotation matrix's last entry, as every textbook writes it."""
    _, x, y, _ = orientation
    length = math.hypot(*orientation)
    cosine = 1 - 2 * (x * x + y * y) / length**2
    assert math.cos(tilt_rad(orientation)) == pytest.approx(cosine, abs=1e-6)
    assert 0 <= tilt_rad(orientation) <= math.pi


@pytest.mark.parametrize("axis", [(1, 0), (0, 1), (0.6, -0.8)])
@pytest.mark.parametrize("angle", [0.0, 1e-9, 0.3, 1.0, 3.0])
def test_tilt_of_known_rotations(axis: tuple[float, float], angle: float) -> None:
    sine, heading = math.sin(angle / 2), 0.7
    # Turned about up first: that is no tilt.
    w, x, y = math.cos(angle / 2), axis[0] * sine, axis[1] * sine
    c, s = math.cos(heading / 2), math.sin(heading / 2)
    turned = (w * c, x * c + y * s, y * c - x * s, w * s)
    assert tilt_rad(turned) == pytest.approx(angle, rel=1e-9)
    assert tilt_rad((-turned[0], -turned[1], -turned[2], -turned[3])) in (
        pytest.approx(angle, rel=1e-9),
        pytest.approx(2 * math.pi - angle),
    )
