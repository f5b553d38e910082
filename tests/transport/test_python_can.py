"""python-can's adapters as buses: its virtual one, and slcan over a pseudo-terminal."""

from __future__ import annotations

import os
import pty
import tty

import can
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neon_edge.clock import MonotonicClock
from neon_edge.config import CanBus
from neon_edge.errors import DeviceMissing
from neon_edge.transport import open_bus
from neon_edge.transport.python_can import PythonCanBus, _frame, _message
from neon_edge.types import BusFrame
from tests.transport.test_socketcan import frames

CLOCK = MonotonicClock()
SECOND = 1_000_000_000


@given(frame=st.one_of(frames(False), frames(True)))
def test_messages_carry_all_of_a_frame(frame: BusFrame) -> None:
    assert _frame(_message(frame)) == frame


def test_a_virtual_bus_both_ways() -> None:
    bus = open_bus(CanBus("arm", "virtual:neon"), CLOCK)
    assert isinstance(bus, PythonCanBus)
    with can.Bus(interface="virtual", channel="neon") as peer:
        sent = [BusFrame(1, b"abc"), BusFrame(0x12345, b"", extended=True)]
        assert bus.send(sent) == 2
        heard = [peer.recv(1) for _ in sent]
        assert [message.arbitration_id for message in heard] == [1, 0x12345]
        peer.send(can.Message(arbitration_id=7, data=b"xyz", is_extended_id=False))
        assert bus.receive_until(CLOCK.now_ns() + SECOND) == [BusFrame(7, b"xyz")]
        assert bus.receive_ready() == []
    bus.close()


def test_slcan_speaks_its_lines_on_a_serial_port() -> None:
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    bus = open_bus(CanBus("arm", f"slcan:{os.ttyname(theirs)}"), CLOCK)
    os.set_blocking(ours, False)
    bus.send([BusFrame(0x123, b"\xde\xad")])
    said = b""
    deadline_ns = CLOCK.now_ns() + 3 * SECOND
    while b"t1232DEAD\r" not in said and CLOCK.now_ns() < deadline_ns:
        try:
            said += os.read(ours, 256)
        except BlockingIOError:
            CLOCK.sleep_until_ns(CLOCK.now_ns() + 1_000_000)
    # S8 is 1 Mb/s, O opens.
    assert b"S8\r" in said
    assert b"t1232DEAD\r" in said
    os.write(ours, b"t4563ABCDEF\r")
    heard = bus.receive_until(CLOCK.now_ns() + SECOND)
    assert heard == [BusFrame(0x456, b"\xab\xcd\xef")]
    bus.close()


@pytest.mark.parametrize("channel", ["slcan:/dev/none", "nonsense:0"])
def test_an_adapter_that_is_not_there_is_missing(channel: str) -> None:
    with pytest.raises(DeviceMissing, match="arm"):
        open_bus(CanBus("arm", channel), CLOCK)
