"""The contract of every bus, run on each of them; a far end stands in for the motors."""

from __future__ import annotations

import os
import pty
import socket
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from neon_edge.clock import MonotonicClock
from neon_edge.config import CanBus, SerialBus
from neon_edge.errors import BusFailed, ConfigWrong, DeviceMissing
from neon_edge.transport import Bus, open_bus
from neon_edge.transport.protocol.socketcan import CLASSIC, decode_frame, encode_frame
from neon_edge.types import BusFrame

CLOCK = MonotonicClock()
SECOND = 1_000_000_000


class FarEnd(Protocol):
    """The motors' side of a bus under test."""

    bus: Bus

    def receive(self) -> bytes: ...
    def send(self, payload: bytes) -> None: ...
    def unplug(self) -> None: ...


class SerialEnd:
    def __init__(self, path: Path) -> None:
        self._far, self._near = pty.openpty()
        tty.setraw(self._near)
        self.bus = open_bus(SerialBus("line", os.ttyname(self._near)), CLOCK)
        os.close(self._near)

    def receive(self) -> bytes:
        return os.read(self._far, 4096)

    def send(self, payload: bytes) -> None:
        os.write(self._far, payload)

    def unplug(self) -> None:
        os.close(self._far)


class CanEnd:
    def __init__(self, path: Path) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(str(path / "can"))
            listener.listen()
            self.bus = open_bus(CanBus("line", f"unix:{path / 'can'}"), CLOCK)
            self.far, _ = listener.accept()

    def receive(self) -> bytes:
        frame = decode_frame(self.far.recv(100))
        assert frame is not None
        assert frame.arbitration_id == 5
        return frame.payload

    def send(self, payload: bytes) -> None:
        self.far.send(encode_frame(BusFrame(5, payload)))

    def unplug(self) -> None:
        self.far.close()


@pytest.fixture(params=[SerialEnd, CanEnd])
def end(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FarEnd]:
    made: FarEnd = request.param(tmp_path)
    yield made
    made.bus.close()


def test_what_is_sent_arrives_and_is_counted(end: FarEnd) -> None:
    assert end.bus.send([BusFrame(5, b"\x01\xff\x00\x11")]) == 1
    assert end.receive() == b"\x01\xff\x00\x11"
    assert end.bus.counters.frames_sent == 1


def test_what_arrives_is_received_and_counted(end: FarEnd) -> None:
    end.send(b"\x13\x00\x0a")
    frames = end.bus.receive_until(CLOCK.now_ns() + SECOND)
    assert b"".join(frame.payload for frame in frames) == b"\x13\x00\x0a"
    assert end.bus.counters.frames_received == 1


def test_nothing_there_is_nothing(end: FarEnd) -> None:
    assert end.bus.receive_ready() == []
    start_ns = CLOCK.now_ns()
    assert end.bus.receive_until(start_ns + SECOND // 50) == []
    assert CLOCK.now_ns() >= start_ns + SECOND // 50


def test_a_deadline_that_has_passed_does_not_wait(end: FarEnd) -> None:
    assert end.bus.receive_until(CLOCK.now_ns() - SECOND) == []


def test_an_unplugged_bus_is_named(end: FarEnd) -> None:
    end.unplug()
    with pytest.raises(BusFailed, match="'line'"):
        end.bus.receive_ready()


def test_an_unplugged_bus_cannot_be_written(end: FarEnd) -> None:
    end.unplug()
    with pytest.raises(BusFailed, match="'line'"):
        for _ in range(3):
            end.bus.send([BusFrame(5, b"12345678")])


def test_closing_twice_is_harmless(end: FarEnd) -> None:
    end.bus.close()
    end.bus.close()


@pytest.mark.parametrize(
    "config",
    [
        SerialBus("line", "/dev/does-not-exist"),
        SerialBus("line", "/dev/null"),
        CanBus("line", "unix:/does/not/exist"),
        CanBus("line", "can-absent"),
        CanBus("line", "longer-than-interface-names"),
    ],
    ids=lambda config: config.channel,
)
def test_a_bus_that_is_not_there_is_missing(config: CanBus | SerialBus) -> None:
    with pytest.raises(DeviceMissing) as caught:
        open_bus(config, CLOCK)
    assert "'line'" in caught.value.wrong
    assert config.channel in caught.value.facts


@pytest.mark.parametrize("config", [SerialBus("line", "sim"), CanBus("line", "sim")])
def test_a_simulated_bus_needs_a_simulation(config: CanBus | SerialBus) -> None:
    with pytest.raises(ConfigWrong, match="nothing simulates it"):
        open_bus(config, CLOCK)


def test_a_serial_line_is_ours_alone(tmp_path: Path) -> None:
    far, near = pty.openpty()
    name = os.ttyname(near)
    first = open_bus(SerialBus("line", name), CLOCK)
    with pytest.raises(DeviceMissing):
        open_bus(SerialBus("line", name), CLOCK)
    first.close()
    os.close(far)
    os.close(near)


def test_a_line_that_takes_no_bytes_fails_within_its_bound(tmp_path: Path) -> None:
    end = SerialEnd(tmp_path)
    with pytest.raises(BusFailed, match="takes no more bytes"):
        for _ in range(100):
            end.bus.send([BusFrame(0, bytes(4096))])
    assert end.bus.counters.queue_full > 0
    end.bus.close()
    end.unplug()


def test_a_full_can_queue_is_retried_counted_and_given_up(tmp_path: Path) -> None:
    end = CanEnd(tmp_path)
    burst = [BusFrame(5, b"12345678")] * 10_000
    sent = end.bus.send(burst)
    counters = end.bus.counters
    assert 0 < sent < len(burst)
    assert counters.frames_sent == sent
    assert counters.frames_dropped == len(burst) - sent
    assert counters.queue_full > 1
    for _ in range(sent):
        assert end.receive() == b"12345678"
    assert end.bus.send([BusFrame(5, b"again")]) == 1
    assert end.receive() == b"again"
    end.bus.close()


def test_error_frames_are_counted_and_not_delivered(tmp_path: Path) -> None:
    end = CanEnd(tmp_path)
    end.far.send(CLASSIC.pack(0x2000_0004, 8, bytes(8)))
    assert end.bus.receive_until(CLOCK.now_ns() + SECOND) == []
    assert end.bus.counters.error_frames == 1
    end.bus.close()


def test_bus_off_fails_the_bus(tmp_path: Path) -> None:
    end = CanEnd(tmp_path)
    end.far.send(CLASSIC.pack(0x2000_0040, 8, bytes(8)))
    with pytest.raises(BusFailed) as caught:
        end.bus.receive_until(CLOCK.now_ns() + SECOND)
    assert "bus-off" in caught.value.facts
    end.bus.close()


def test_a_kernel_interface_that_is_down_is_missing() -> None:
    # Interfaces that exist everywhere but are down or not CAN must not pass for a bus.
    with pytest.raises(DeviceMissing):
        open_bus(CanBus("line", "lo"), CLOCK)
