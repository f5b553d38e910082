"""Velocity datagrams: what is whole comes back bit for bit, what is not is refused, and why."""

import math
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neon_edge.transport.protocol.velocity import (
    COMMAND_BYTES,
    REPORT_BYTES,
    BaseState,
    VelocityCommand,
    VelocityReport,
    decode_command,
    decode_report,
    encode_command,
    encode_report,
    is_newer,
)

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
U32 = st.integers(0, 2**32 - 1)
I64 = st.integers(-(2**63), 2**63 - 1)
COMMANDS = st.builds(
    VelocityCommand, st.integers(0, 65535), U32, U32, I64, st.tuples(FINITE, FINITE, FINITE)
)
REPORTS = st.builds(
    VelocityReport, st.sampled_from(BaseState), U32, U32, I64,
    st.tuples(FINITE, FINITE, FINITE), U32,
)  # fmt: skip
COMMAND = VelocityCommand(200, 7, 9, 123456789, (1.0, -0.25, 0.5))


def test_a_command_byte_for_byte() -> None:
    """Written out by hand from the table of the module."""
    raw = encode_command(COMMAND)
    body = bytes.fromhex(
        "4e454256 01 01 c800 07000000 09000000 15cd5b0700000000 0000803f 000080be 0000003f"
    )
    assert raw == body + struct.pack("<I", zlib.crc32(body))
    assert len(raw) == COMMAND_BYTES == 40


def test_a_report_byte_for_byte() -> None:
    raw = encode_report(VelocityReport(BaseState.STOPPED, 7, 9, 123456789, (1.0, 0.0, 0.5), 3))
    body = bytes.fromhex(
        "4e454256 01 02 02 00 07000000 09000000 15cd5b0700000000 0000803f 00000000 0000003f03000000"
    )
    assert raw == body + struct.pack("<I", zlib.crc32(body))
    assert len(raw) == REPORT_BYTES == 44


@given(COMMANDS)
def test_a_command_comes_back(command: VelocityCommand) -> None:
    assert decode_command(encode_command(command)) == command


@given(REPORTS)
def test_a_report_comes_back(report: VelocityReport) -> None:
    assert decode_report(encode_report(report)) == report


@given(COMMANDS, st.integers(0, COMMAND_BYTES * 8 - 1))
def test_no_flipped_bit_is_believed(command: VelocityCommand, bit: int) -> None:
    raw = bytearray(encode_command(command))
    raw[bit // 8] ^= 1 << bit % 8
    assert decode_command(bytes(raw)) is None


@given(st.binary(max_size=64))
def test_noise_is_neither(raw: bytes) -> None:
    assert decode_command(raw) is None
    assert decode_report(raw) is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_neither_leaves_nor_arrives(bad: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        encode_command(COMMAND._replace(velocity=(0.0, bad, 0.0)))
    body = bytearray(encode_command(COMMAND)[:-4])
    body[28:32] = np.float32(bad).tobytes()
    assert decode_command(bytes(body) + struct.pack("<I", zlib.crc32(body))) is None


def test_other_versions_kinds_and_lengths_are_refused() -> None:
    for place, value in ((4, 2), (5, 2), (0, 0x4F)):
        body = bytearray(encode_command(COMMAND)[:-4])
        body[place] = value
        assert decode_command(bytes(body) + struct.pack("<I", zlib.crc32(body))) is None
    assert decode_command(encode_command(COMMAND) + b"\0") is None
    assert decode_report(encode_command(COMMAND)) is None
    body = bytearray(encode_report(VelocityReport(BaseState.IDLE, 0, 0, 0, (0, 0, 0), 0))[:-4])
    body[6] = 3
    assert decode_report(bytes(body) + struct.pack("<I", zlib.crc32(body))) is None


def test_sequences_are_compared_over_their_wrap() -> None:
    top = 2**32 - 1
    assert is_newer(0, top)
    assert is_newer(5, 4)
    assert not is_newer(4, 4)
    assert not is_newer(top, 0)
    assert not is_newer(2**31, 0)
    assert is_newer(2**31 - 1, 0)
