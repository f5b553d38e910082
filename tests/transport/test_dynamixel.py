"""Packets against the e-manual's examples and, byte for byte, against the vendor's SDK."""

import math
import struct

import numpy as np
import pytest
from dynamixel_sdk.protocol2_packet_handler import Protocol2PacketHandler
from hypothesis import given
from hypothesis import strategies as st

from neon_edge.transport.protocol import dynamixel
from neon_edge.transport.protocol import dynamixel_table as table
from neon_edge.transport.protocol.crc import crc16
from neon_edge.transport.protocol.dynamixel import Packet, Reading
from neon_edge.transport.protocol.dynamixel_stream import StreamParser


def packed(text: str) -> bytes:
    return bytes.fromhex(text.replace(" ", ""))


FAST_ANSWER = packed(
    "FF FF FD 00 FE 19 00 55 00 03 A6 00 00 00 84 0800 07 1F 08 00 00 16 CA 00 04 FF 03 00 00 D1 9E"
)
"""The e-manual's fast sync read of present position: servos 3, 7 and 4."""

ids = st.integers(0, dynamixel.HIGHEST_ID)
stuffable = st.lists(st.sampled_from([b"\xff", b"\xfd", b"\x00", b"\xff\xff\xfd", b"a"])).map(
    b"".join
)


class Sdk(Protocol2PacketHandler):  # type: ignore[misc]
    """The vendor's, with its stuffing put back.

    Version 4.1.0 builds the stuffed packet in a new list, and its sender throws that away.
    """

    def addStuffing(self, packet: list[int]) -> list[int]:  # noqa: N802
        packet[:] = super().addStuffing(packet)
        return packet


class CapturedPort:
    """As much of the SDK's port as its packet handler needs to send."""

    is_using = False

    def __init__(self) -> None:
        self.sent = b""

    def clearPort(self) -> None:  # noqa: N802
        pass

    def writePort(self, packet: list[int]) -> int:  # noqa: N802
        self.sent += bytes(packet)
        return len(packet)

    def setPacketTimeout(self, length: int) -> None:  # noqa: N802
        pass


@pytest.mark.parametrize(
    ("made", "published"),
    [
        (dynamixel.ping(1), "FF FF FD 00 01 03 00 01 19 4E"),
        (
            dynamixel.sync_write(
                116, 4, [(1, struct.pack("<i", 150)), (2, struct.pack("<i", 170))]
            ),
            "FF FF FD 00 FE 11 00 83 74 00 04 00 01 96 00 00 00 02 AA 00 00 00 82 87",
        ),
        (dynamixel.sync_read(132, 4, [1, 2]), "FF FF FD 00 FE 09 00 82 84 00 04 00 01 02 CE FA"),
        (
            dynamixel.fast_sync_read(132, 4, [3, 7, 4]),
            "FF FF FD 00 FE 0A 00 8A 84 00 04 00 03 07 04 20 F2",
        ),
        (dynamixel.fast_sync_read(126, 10, [1, 2]), "FFFFFD00FE09008A7E000A000102BB1A"),
        (
            dynamixel.status(1, 0, struct.pack("<i", 166)),
            "FF FF FD 00 01 08 00 55 00 A6 00 00 00 8C C0",
        ),
        (
            dynamixel.status(2, 0, struct.pack("<i", 2079)),
            "FF FF FD 00 02 08 00 55 00 1F 08 00 00 BA BE",
        ),
    ],
)
def test_published_packets(made: bytes, published: str) -> None:
    assert made == packed(published)


def test_the_published_fast_answer_is_made_and_split() -> None:
    readings = [
        Reading(servo, 0, struct.pack("<i", count))
        for servo, count in ((3, 166), (7, 2079), (4, 1023))
    ]
    assert dynamixel.fast_status(readings) == FAST_ANSWER
    (packet,) = StreamParser().feed(FAST_ANSWER)
    assert dynamixel.split_fast_status(packet, 4) == readings


def test_a_broken_part_of_a_fast_answer_is_left_out() -> None:
    # Servo 3's position is damaged on the way to servo 7, which vouches for what it heard.
    heard = bytearray(FAST_ANSWER[:-10])
    heard[10] ^= 1
    heard += struct.pack("<H", crc16(heard)) + b"\x00\x04" + struct.pack("<i", 1023)
    heard += struct.pack("<H", crc16(heard))
    (packet,) = StreamParser().feed(bytes(heard))
    assert [reading.servo for reading in dynamixel.split_fast_status(packet, 4)] == [7, 4]


@given(servo=ids, address=st.integers(0, 1000), values=stuffable.filter(bool))
def test_writes_equal_the_sdks(servo: int, address: int, values: bytes) -> None:
    port = CapturedPort()
    Sdk().writeTxOnly(port, servo, address, len(values), list(values))
    assert dynamixel.write(servo, address, values) == port.sent


@given(
    servos=st.lists(ids, min_size=1, max_size=8, unique=True),
    address=st.integers(0, 200),
    length=st.integers(1, 12),
    rest=st.randoms(use_true_random=False),
)
def test_sync_packets_equal_the_sdks(servos, address, length, rest) -> None:  # type: ignore[no-untyped-def]
    handler, port = Sdk(), CapturedPort()
    handler.syncReadTx(port, address, length, servos, len(servos), False)
    assert dynamixel.sync_read(address, length, servos) == port.sent

    port = CapturedPort()
    handler.syncReadTx(port, address, length, servos, len(servos), True)
    assert dynamixel.fast_sync_read(address, length, servos) == port.sent

    port = CapturedPort()
    entries = [
        (servo, bytes(rest.choice(b"\xff\xfd\x00\x07") for _ in range(length))) for servo in servos
    ]
    flat = [byte for servo, values in entries for byte in (servo, *values)]
    handler.syncWriteTxOnly(port, address, length, flat, len(flat))
    assert dynamixel.sync_write(address, length, entries) == port.sent


@given(servo=ids, error=st.integers(0, 255), values=stuffable)
def test_status_packets_survive_the_round_trip(servo: int, error: int, values: bytes) -> None:
    (packet,) = StreamParser().feed(dynamixel.status(servo, error, values))
    assert dynamixel.split_status(packet) == Reading(servo, error, values)


@given(
    readings=st.lists(
        st.tuples(ids, st.integers(0, 255), st.binary(min_size=10, max_size=10)),
        min_size=1,
        max_size=7,
    )
)
def test_fast_answers_survive_the_round_trip(readings: list[tuple[int, int, bytes]]) -> None:
    wanted = [Reading(*reading) for reading in readings]
    (packet,) = StreamParser().feed(dynamixel.fast_status(wanted))
    assert dynamixel.split_fast_status(packet, 10) == wanted


@pytest.mark.parametrize("servo", [-1, 253, 255, 300])
def test_no_packet_for_an_id_that_no_servo_has(servo: int) -> None:
    with pytest.raises(ValueError, match="servo id"):
        dynamixel.read(servo, 0, 2)
    with pytest.raises(ValueError, match="servo id"):
        dynamixel.sync_read(0, 2, [servo])


def test_a_sync_write_with_a_wrong_width_is_refused() -> None:
    with pytest.raises(ValueError, match="field of 4"):
        dynamixel.sync_write(116, 4, [(1, b"\0\0")])


def test_splitting_refuses_what_is_not_an_answer() -> None:
    with pytest.raises(ValueError, match="not a status"):
        dynamixel.split_status(Packet(1, dynamixel.Instruction.PING, b""))
    with pytest.raises(ValueError, match="divide"):
        dynamixel.split_fast_status(Packet(0xFE, 0x55, b"12345"), 10)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 3.2, -3.2, 1e300])
def test_positions_that_are_not_finite_or_not_within_a_turn_are_refused(bad: float) -> None:
    turns = np.array([4096.0, 4096.0])
    with pytest.raises(ValueError, match="within one turn"):
        table.counts_from_positions(np.array([0.0, bad]), turns)


@given(count=st.integers(0, 4095))
def test_counts_survive_the_round_trip(count: int) -> None:
    position = table.position_from_count(count, 4096)
    assert table.counts_from_positions(np.array([position]), np.array([4096.0]))[0] == count


def test_zero_is_half_a_turn() -> None:
    assert table.position_from_count(2048, 4096) == 0.0


@pytest.mark.parametrize(("milliseconds", "register"), [(0, 0), (100, 5), (2540, 127)])
def test_watchdog_steps(milliseconds: int, register: int) -> None:
    assert table.watchdog_register(milliseconds) == register


@pytest.mark.parametrize("milliseconds", [-20, 30, 2560])
def test_a_watchdog_off_its_grid_is_refused(milliseconds: int) -> None:
    with pytest.raises(ValueError, match="steps of"):
        table.watchdog_register(milliseconds)


def test_present_values_survive_the_round_trip() -> None:
    assert table.decode_present(table.encode_present(-7, -70_000, 4095)) == (-7, -70_000, 4095)
    with pytest.raises(ValueError, match="bytes where"):
        table.decode_present(b"short")
