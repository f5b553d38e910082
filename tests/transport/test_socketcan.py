"""CAN structs against python-can's, which are the kernel's."""

import can
import pytest
from can.interfaces.socketcan import socketcan as oracle
from hypothesis import given
from hypothesis import strategies as st

from neon_edge.transport.protocol.socketcan import FD_LENGTHS, decode_frame, encode_frame
from neon_edge.types import BusFrame

SIZES = ((0, 80), (16, 16), (72, 72))


def frames(fd: bool) -> st.SearchStrategy[BusFrame]:
    lengths = FD_LENGTHS if fd else range(9)
    payload = st.sampled_from(list(lengths)).flatmap(lambda n: st.binary(min_size=n, max_size=n))
    switch = st.booleans() if fd else st.just(False)
    kept, data = st.just(fd), st.just(False)
    short = st.builds(BusFrame, st.integers(0, 0x7FF), payload, data, kept, switch, data)
    long = st.builds(
        BusFrame, st.integers(0, 0x1FFF_FFFF), payload, st.just(True), kept, switch, data
    )
    asking = st.builds(
        BusFrame, st.integers(0, 0x7FF), st.just(b""), data, data, data, st.just(not fd)
    )
    return st.one_of(short, long) if fd else st.one_of(short, long, asking)


@given(frame=st.one_of(frames(False), frames(True)))
def test_structs_equal_python_cans(frame: BusFrame) -> None:
    message = can.Message(
        arbitration_id=frame.arbitration_id,
        is_extended_id=frame.extended,
        data=frame.payload,
        is_fd=frame.fd,
        is_remote_frame=frame.remote,
        bitrate_switch=frame.bit_rate_switch,
    )
    raw = encode_frame(frame)
    theirs = bytearray(oracle.build_can_frame(message))
    if frame.fd:
        theirs[5] &= 0x01  # CANFD_FDF: the kernel knows it by the struct's size
    theirs[7] = 0  # len8_dlc: read by the kernel for lengths above 8 only
    assert raw == bytes(theirs)
    assert decode_frame(raw) == frame


@pytest.mark.parametrize(
    "frame",
    [
        BusFrame(0x800, b""),
        BusFrame(-1, b""),
        BusFrame(0x2000_0000, b"", extended=True),
        BusFrame(1, bytes(9)),
        BusFrame(1, bytes(9), fd=True),
        BusFrame(1, bytes(65), fd=True),
    ],
)
def test_frames_that_can_does_not_have_are_refused(frame: BusFrame) -> None:
    with pytest.raises(ValueError, match=r"fit|length"):
        encode_frame(frame)


@given(
    raw=st.one_of(
        st.binary(max_size=80),
        st.binary(min_size=16, max_size=16),
        st.binary(min_size=72, max_size=72),
    )
)
def test_any_bytes_decode_to_a_sane_frame_or_to_nothing(raw: bytes) -> None:
    frame = decode_frame(raw)
    if frame is not None:
        assert len(frame.payload) <= (64 if frame.fd else 8)
        assert len(raw) == (72 if frame.fd else 16)
