"""The e-stop's input stops on everything but a clear word; the heartbeat stops with the robot."""

from __future__ import annotations

import os
import pty
import select
import shutil
import socket
import struct
import subprocess
import tty
from pathlib import Path

import pytest

from neon_edge.clock import FakeClock, MonotonicClock
from neon_edge.config.stopping import CanBeat, GpioStop, PipeStop, SerialBeat, UdpBeat, UdpStop
from neon_edge.errors import DeviceMissing
from neon_edge.sim import start_sim, with_channels
from neon_edge.transport import gpio, open_bus
from neon_edge.transport.gpio import Pin
from neon_edge.transport.heartbeat import Pulse, open_heartbeat
from neon_edge.transport.stop_input import ContactStop, open_stop_input
from neon_edge.types import Rung
from tests.transport.families import robot_of

MS = 1_000_000
HEADER = Path("/usr/include/linux/gpio.h")


class FakeChip:
    """One line behind ioctl(2), as the kernel lays it out; values and edges are logical."""

    def __init__(self) -> None:
        self.events, self._line = os.pipe()
        self.active = True
        self.broken = False
        self.written: list[int] = []
        self.request = b""

    def ioctl(self, descriptor: int, number: int, argument: bytearray) -> int:
        if self.broken:
            raise OSError(19, "No such device")
        if number == gpio.GET_LINE:
            assert len(argument) == 592
            self.request = bytes(argument)
            struct.pack_into("=i", argument, 588, os.dup(self.events))
        elif number == gpio.GET_VALUES:
            assert struct.unpack("=QQ", argument) == (0, 1)
            struct.pack_into("=Q", argument, 0, int(self.active))
        elif number == gpio.SET_VALUES:
            bits, mask = struct.unpack("=QQ", argument)
            assert mask == 1
            self.written.append(bits)
        else:
            raise OSError(25, "Inappropriate ioctl for device")
        return 0

    def fall(self) -> None:
        """A falling edge, as gpio_v2_line_event."""
        os.write(self._line, struct.pack("=QIIII24x", 1, 2, 17, 1, 1))


@pytest.fixture
def chip(monkeypatch: pytest.MonkeyPatch) -> FakeChip:
    chip = FakeChip()
    monkeypatch.setattr(Pin.__init__, "__defaults__", (0, chip.ioctl))
    return chip


def contact(**changes: object) -> ContactStop:
    config = GpioStop(line=17, chip="/dev/null", **changes)  # type: ignore[arg-type]
    stop = open_stop_input(config, FakeClock())
    assert isinstance(stop, ContactStop)
    return stop


def test_a_contact_stops_when_it_opens_and_when_nobody_can_tell(chip: FakeChip) -> None:
    stop = contact()
    assert not stop.pressed
    chip.active = False
    assert stop.pressed
    chip.active = True
    assert not stop.pressed
    chip.broken = True
    assert stop.pressed
    stop.close()


def test_a_press_between_two_ticks_is_not_missed_and_counts_once(chip: FakeChip) -> None:
    stop = contact()
    for _ in range(3):
        chip.fall()
    assert stop.pressed
    assert not stop.pressed


@pytest.mark.parametrize(("closed", "active_low"), [("low", True), ("high", False)])
def test_a_line_is_asked_for_as_the_robot_file_says(
    chip: FakeChip, closed: str, active_low: bool
) -> None:
    contact(closed=closed, bias="pull-down", debounce_ms=7.5)
    offset, consumer = struct.unpack_from("=I252x32s", chip.request)
    flags, attributes = struct.unpack_from("=QI", chip.request, 288)
    identity, debounce, mask = struct.unpack_from("=I4xI4xQ", chip.request, 320)
    assert (offset, consumer.rstrip(b"\0")) == (17, b"neon-edge")
    assert struct.unpack_from("=I", chip.request, 560) == (1,)
    assert flags == gpio.INPUT | gpio.EDGE_FALLING | 1 << 9 | (gpio.ACTIVE_LOW if active_low else 0)
    assert (attributes, identity, debounce, mask) == (1, gpio.DEBOUNCE, 7500, 1)


PROGRAM = r"""
#include <linux/gpio.h>
#include <stdio.h>
#include <string.h>
int main(void) {
    struct gpio_v2_line_request r;
    memset(&r, 0, sizeof r);
    r.offsets[0] = 17; r.num_lines = 1; r.fd = -1;
    strcpy(r.consumer, "neon-edge");
    r.config.flags = GPIO_V2_LINE_FLAG_INPUT | GPIO_V2_LINE_FLAG_EDGE_FALLING
        | GPIO_V2_LINE_FLAG_ACTIVE_LOW | GPIO_V2_LINE_FLAG_BIAS_PULL_UP;
    r.config.num_attrs = 1;
    r.config.attrs[0].mask = 1;
    r.config.attrs[0].attr.id = GPIO_V2_LINE_ATTR_ID_DEBOUNCE;
    r.config.attrs[0].attr.debounce_period_us = 5000;
    printf("%lu %lu %lu %zu\n", (unsigned long)GPIO_V2_GET_LINE_IOCTL,
           (unsigned long)GPIO_V2_LINE_GET_VALUES_IOCTL,
           (unsigned long)GPIO_V2_LINE_SET_VALUES_IOCTL, sizeof(struct gpio_v2_line_event));
    fwrite(&r, sizeof r, 1, stdout);
    return 0;
}
"""


@pytest.mark.skipif(
    shutil.which("gcc") is None or not HEADER.exists(), reason="no C compiler or kernel header"
)
def test_layouts_and_numbers_are_the_kernels(tmp_path: Path) -> None:
    source = tmp_path / "layout.c"
    source.write_text(PROGRAM)
    subprocess.run(["gcc", "-o", str(tmp_path / "layout"), str(source)], check=True)
    said = subprocess.run([str(tmp_path / "layout")], capture_output=True, check=True).stdout
    numbers, _, request = said.partition(b"\n")
    assert [int(number) for number in numbers.split()] == [
        gpio.GET_LINE, gpio.GET_VALUES, gpio.SET_VALUES, gpio.EVENT_BYTES,
    ]  # fmt: skip
    flags = gpio.INPUT | gpio.EDGE_FALLING | gpio.ACTIVE_LOW | gpio.BIAS["pull-up"]
    assert request == bytes(gpio.request_bytes(17, flags, 5000))


def test_a_chip_that_is_not_there_says_who_may_know(tmp_path: Path) -> None:
    with pytest.raises(DeviceMissing, match="line 3") as caught:
        open_stop_input(GpioStop(line=3, chip=str(tmp_path / "gpiochip9")), FakeClock())
    assert "No such file" in caught.value.facts
    with pytest.raises(DeviceMissing) as caught:
        open_stop_input(GpioStop(line=3, chip="/dev/null"), FakeClock())
    assert "ioctl" in caught.value.facts


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_heartbeat_by_datagrams() -> None:
    clock, port = FakeClock(), free_port()
    stop = open_stop_input(UdpStop(port=port, timeout_ms=100), clock)
    talker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def say(words: bytes) -> None:
        talker.sendto(words, ("127.0.0.1", port))

    assert stop.pressed  # nobody has spoken yet
    say(b"\x01 all is well")
    assert not stop.pressed
    clock.advance_ns(100 * MS)
    assert not stop.pressed
    clock.advance_ns(1)
    assert stop.pressed
    for bad in (b"\x00", b"", b"1"):
        for words in (b"\x01", bad, b"\x01"):
            say(words)
        assert stop.pressed, bad
        say(b"\x01")
        assert not stop.pressed
    with pytest.raises(DeviceMissing, match="cannot be opened"):
        open_stop_input(UdpStop(port=port), clock)
    stop.close()
    talker.close()
    # A source that has gone bad raises nothing into the tick: it falls silent.
    clock.advance_ns(101 * MS)
    assert stop.pressed


def test_a_heartbeat_through_a_pipe(tmp_path: Path) -> None:
    clock, path = FakeClock(), tmp_path / "well"
    with pytest.raises(DeviceMissing, match="cannot be opened"):
        open_stop_input(PipeStop(path=str(path)), clock)
    path.write_bytes(b"\x01")
    with pytest.raises(DeviceMissing) as caught:
        open_stop_input(PipeStop(path=str(path)), clock)
    assert "not a FIFO" in caught.value.facts
    path.unlink()
    os.mkfifo(path)
    stop = open_stop_input(PipeStop(path=str(path), timeout_ms=50), clock)
    assert stop.pressed
    with path.open("wb", buffering=0) as pipe:
        pipe.write(b"\x01\x01\x01")
        assert not stop.pressed
        pipe.write(b"\x01\x00\x01")
        assert stop.pressed
        pipe.write(b"\x01")
        assert not stop.pressed
    # Whoever spoke is gone: a stop as soon as the time is over.
    clock.advance_ns(50 * MS)
    assert not stop.pressed
    clock.advance_ns(1)
    assert stop.pressed
    stop.close()


def test_a_pulse_counts_while_the_robot_is_well_and_rests_once() -> None:
    said: list[object] = []
    pulse = Pulse(said.append, lambda: said.append("closed"), False, lambda: said.append("rest"))
    for rung in (Rung.RUN, Rung.SCALE, Rung.HOLD, Rung.DAMP, Rung.OFF, Rung.RUN):
        pulse.tick(rung)
    pulse.close()
    assert said == [0, 1, 2, "rest", 3, "rest", "closed"]
    damped: list[int] = []
    patient = Pulse(damped.append, lambda: None, True)
    for rung in (Rung.DAMP, Rung.OFF):
        patient.tick(rung)
    assert damped == [0]
    for _ in range(256):
        patient.tick(Rung.RUN)
    assert damped[-2:] == [255, 0]


def test_a_pulse_that_cannot_be_sent_is_counted() -> None:
    def fail(_: int) -> None:
        raise OSError("unplugged")

    pulse = Pulse(fail, lambda: None, False, lambda: fail(0))
    for _ in range(3):
        pulse.tick(Rung.RUN)
    pulse.tick(Rung.OFF)
    assert pulse.failures == 3


def test_a_pin_toggles_and_rests_low(chip: FakeChip) -> None:
    pin = Pin("/dev/null", 4, gpio.OUTPUT, ioctl=chip.ioctl)
    pulse = Pulse(lambda n: pin.write(bool(n & 1)), pin.close, False, lambda: pin.write(False))
    for rung in (Rung.RUN,) * 4 + (Rung.DAMP,):
        pulse.tick(rung)
    assert chip.written == [0, 1, 0, 1, 0]


def test_beats_arrive_as_datagrams_and_on_a_line() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind(("127.0.0.1", 0))
        ear.settimeout(10)
        config = UdpBeat(address="127.0.0.1", port=ear.getsockname()[1])
        pulse = open_heartbeat(config, [], FakeClock())
        for _ in range(3):
            pulse.tick(Rung.RUN)
        assert [ear.recv(8) for _ in range(3)] == [b"\x00", b"\x01", b"\x02"]
        pulse.close()
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    pulse = open_heartbeat(SerialBeat(channel=os.ttyname(theirs)), [], FakeClock())
    for _ in range(3):
        pulse.tick(Rung.HOLD)
    heard = b""
    # A line hands over what has come, which may be the first beat alone.
    while len(heard) < 3 and select.select([ours], [], [], 10)[0]:
        heard += os.read(ours, 8)
    assert heard == b"\x00\x01\x02"
    pulse.close()
    with pytest.raises(DeviceMissing, match="heartbeat"):
        open_heartbeat(SerialBeat(channel="/dev/nothing"), [], FakeClock())


def test_beats_travel_on_a_robots_own_bus(tmp_path: Path) -> None:
    config, clock = robot_of("damiao"), MonotonicClock()
    with start_sim(config, tmp_path) as sim:
        buses = with_channels(config, sim.channels).buses
        bus = open_bus(buses[0], clock)
        pulse = open_heartbeat(CanBeat(bus=buses[0].name, id=0x7F0), buses, clock)
        heard: list[int] = []
        until_ns = clock.now_ns() + 10_000 * MS
        while len(heard) < 2 and clock.now_ns() < until_ns:
            pulse.tick(Rung.RUN)
            frames = bus.receive_until(clock.now_ns() + 200 * MS)
            heard += [frame.payload[0] for frame in frames if frame.arbitration_id == 0x7F0]
        pulse.close()
        bus.close()
    assert heard[1] == heard[0] + 1
