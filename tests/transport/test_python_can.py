"""python-can's adapters as buses: its virtual one, and slcan over a pseudo-terminal."""

from __future__ import annotations

import os
import pty
import tty
from typing import Any

import can
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neon_edge.clock import FakeClock, MonotonicClock
from neon_edge.config import CanBus
from neon_edge.errors import BusFailed, DeviceMissing
from neon_edge.transport import open_bus
from neon_edge.transport.python_can import GONE_NS, PythonCanBus, _frame, _message
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


class Adapter:
    """As much of a python-can bus as ours uses; `raises` is what its sends and reads end in."""

    def __init__(self) -> None:
        self.raises: Exception | None = None
        self.after = 0
        self.taken = 0
        self.waiting: list[can.Message] = []

    def send(self, message: can.Message, timeout: float) -> None:
        if self.raises is not None and self.taken >= self.after:
            raise self.raises
        self.taken += 1

    def recv(self, timeout: float) -> can.Message | None:
        if self.raises is not None:
            raise self.raises
        return self.waiting.pop(0) if self.waiting else None


FRAMES = [BusFrame(k, b"x") for k in range(5)]
FULL = [
    can.CanTimeoutError("Write timeout"),
    can.CanOperationError("Transmit buffer full"),
    # PCAN's words, and systec's silence.
    can.CanOperationError("Failed to send: The transmit queue is full"),
    can.CanOperationError(),
]


@pytest.mark.parametrize("failure", FULL, ids=repr)
def test_a_full_queue_is_counted_in_whatever_words(failure: Exception) -> None:
    adapter, clock = Adapter(), FakeClock()
    bus = PythonCanBus("arm", "pcan:X", adapter, clock)
    adapter.raises, adapter.after = failure, 2
    assert bus.send(FRAMES) == 2
    counters = bus.counters
    assert (counters.frames_sent, counters.frames_dropped, counters.queue_full) == (2, 3, 1)
    clock.advance_ns(GONE_NS // 2)
    assert bus.send(FRAMES) == 0
    adapter.raises = None
    assert bus.send(FRAMES) == 5
    # What takes nothing for long is not full.
    adapter.raises = failure
    clock.advance_ns(GONE_NS + 1)
    with pytest.raises(BusFailed, match="'arm'"):
        bus.send(FRAMES)


def test_an_adapter_that_is_pulled_out_fails_the_bus_at_once() -> None:
    for failure in (OSError(5, "Input/output error"), can.CanOperationError("gone")):
        adapter = Adapter()
        bus = PythonCanBus("arm", "slcan:X", adapter, FakeClock())
        adapter.raises = failure
        with pytest.raises(BusFailed, match="'arm'"):
            bus.receive_ready()
    adapter = Adapter()
    adapter.raises = OSError(5, "Input/output error")
    with pytest.raises(BusFailed, match="'arm'"):
        PythonCanBus("arm", "slcan:X", adapter, FakeClock()).send(FRAMES)


def test_error_frames_are_counted_and_bus_off_fails_the_bus() -> None:
    adapter = Adapter()
    bus = PythonCanBus("arm", "gs_usb:0", adapter, FakeClock())
    passive, off = (can.Message(arbitration_id=i, is_error_frame=True) for i in (0x04, 0x40))
    adapter.waiting = [passive]
    assert bus.receive_ready() == []
    adapter.waiting = [off]
    with pytest.raises(BusFailed) as caught:
        bus.receive_ready()
    assert "bus-off" in caught.value.facts
    assert bus.counters.error_frames == 2


def test_an_fd_bus_is_opened_with_both_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(can, "Bus", lambda **words: asked.update(words))
    open_bus(CanBus("arm", "pcan:PCAN_USBBUS1", fd=True), CLOCK)
    assert (asked["fd"], asked["bitrate"], asked["data_bitrate"]) == (True, 1_000_000, 5_000_000)
    timing = asked["timing"]
    assert (timing.nom_bitrate, timing.data_bitrate) == (1_000_000, 5_000_000)
    assert timing.nom_sample_point == pytest.approx(66.6, abs=1)
    assert timing.data_sample_point == pytest.approx(66.6, abs=5)
    asked.clear()
    open_bus(CanBus("arm", "pcan:PCAN_USBBUS1"), CLOCK)
    assert asked["fd"] is False
    assert "timing" not in asked


def test_an_adapter_that_knows_no_fd_is_missing() -> None:
    for channel in ("canalystii:0", "usb2can:0"):
        with pytest.raises(DeviceMissing, match="arm"):
            open_bus(CanBus("arm", channel, fd=True), CLOCK)


@pytest.mark.parametrize("channel", ["slcan:/dev/none", "nonsense:0"])
def test_an_adapter_that_is_not_there_is_missing(channel: str) -> None:
    with pytest.raises(DeviceMissing, match="arm"):
        open_bus(CanBus("arm", channel), CLOCK)
