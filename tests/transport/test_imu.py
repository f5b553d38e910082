"""The IMU's link against the emulated one, on real sockets and a line, on a clock of our own."""

from __future__ import annotations

import math
import os
import pty
import socket
import tty
from collections.abc import Iterator

import msgspec
import pytest

from neon_edge.clock import FakeClock
from neon_edge.config import load_robot
from neon_edge.config.check import check_robot
from neon_edge.config.imu import SerialImu, UdpImu
from neon_edge.errors import ConfigWrong, DeviceMissing
from neon_edge.sim.imu import UPRIGHT, EmulatedImu, leaning
from neon_edge.transport.hearing import MOST_A_READ, TAKEOVER_NS
from neon_edge.transport.imu import ImuLink, open_imu
from neon_edge.types import Health
from tests.transport.lines import carry

MS = 1_000_000


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock(1000 * MS)
        self.port = free_port()
        self.link = open_imu(UdpImu(port=self.port), self.clock)
        self.imu = EmulatedImu("127.0.0.1", self.port, self.clock)
        self.health = Health()

    def tick(self, tell: bool = True, after_ms: int = 20) -> Health:
        self.clock.sleep_until_ns(self.clock.now_ns() + after_ms * MS)
        if tell:
            self.imu.tell()
        self.link.read(self.health)
        return self.health


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.imu.close()
    made.link.close()


def test_never_heard_is_as_old_as_can_be(bench: Bench) -> None:
    assert bench.tick(tell=False).imu_ns == 0
    assert bench.link.counters.readings == 0


def test_what_the_emulated_one_measures_is_what_the_tick_sees(bench: Bench) -> None:
    assert bench.tick().tilt_rad == 0.0
    bench.imu.orientation, bench.imu.turn = leaning(0.9), (3.0, 0.0, -4.0)
    health = bench.tick()
    assert health.tilt_rad == pytest.approx(0.9, abs=1e-6)
    assert health.turn_rad_s == 5.0
    assert health.imu_ns == bench.clock.now_ns()
    heard_ns = health.imu_ns
    assert bench.tick(tell=False).imu_ns == heard_ns
    assert bench.health.tilt_rad == pytest.approx(0.9, abs=1e-6)


def test_the_newest_of_several_counts(bench: Bench) -> None:
    for at in range(5):
        bench.imu.orientation = leaning(0.1 * at)
        bench.clock.sleep_until_ns(bench.clock.now_ns() + MS)
        bench.imu.tell()
    assert bench.tick(tell=False).tilt_rad == pytest.approx(0.4, abs=1e-6)
    assert bench.link.counters.readings == 5


def test_a_flood_is_gone_with_one_tick(bench: Bench) -> None:
    for _ in range(10 * MOST_A_READ):
        bench.clock.sleep_until_ns(bench.clock.now_ns() + 1000)
        bench.imu.tell()
    bench.tick(tell=False)
    assert 1 < bench.link.counters.readings < MOST_A_READ
    before = bench.link.counters.readings
    bench.tick(tell=False)
    assert bench.link.counters.readings == before


def test_damage_and_noise_are_silence(bench: Bench) -> None:
    heard_ns = bench.tick().imu_ns
    raw = bytearray(bench.imu.measure())
    raw[30] ^= 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        for message in (bytes(raw), b"", b"\x01", bytes(200)):
            other.sendto(message, ("127.0.0.1", bench.port))
    assert bench.tick(tell=False).imu_ns == heard_ns
    assert bench.link.counters.damaged == 4


class Said(list[bytes]):
    """Messages as a source gives them."""

    def receive(self) -> bytes:
        if not self:
            raise BlockingIOError
        return self.pop(0)


def test_a_sensor_that_is_stuck_behind_a_live_sender_is_silent() -> None:
    clock, said, health = FakeClock(1000 * MS), Said(), Health()
    link = ImuLink(said.receive, lambda: None, clock)
    imu = EmulatedImu("127.0.0.1", 9, FakeClock(5))
    said += [imu.measure(), imu.measure()]
    link.read(health)
    assert (link.counters.readings, link.counters.old) == (1, 1)
    imu.close()


def test_what_comes_late_or_twice_is_not_taken() -> None:
    clock, said, health = FakeClock(1000 * MS), Said(), Health()
    link = ImuLink(said.receive, lambda: None, clock)
    imu = EmulatedImu("127.0.0.1", 9, clock)
    first = imu.measure()
    clock.sleep_until_ns(clock.now_ns() + MS)
    imu.orientation = leaning(0.5)
    second = imu.measure()
    said += [second, first, second]
    link.read(health)
    assert (link.counters.readings, link.counters.old) == (1, 2)
    assert health.tilt_rad == pytest.approx(0.5, abs=1e-6)
    imu.close()


@pytest.mark.parametrize(("silent_ns", "taken"), [(TAKEOVER_NS, False), (TAKEOVER_NS + 1, True)])
def test_another_sender_is_believed_after_a_silence(silent_ns: int, taken: bool) -> None:
    clock, said, health = FakeClock(1000 * MS), Said(), Health()
    link = ImuLink(said.receive, lambda: None, clock)
    one, other = (EmulatedImu("127.0.0.1", 9, FakeClock(at * MS)) for at in (7, 1))
    said.append(one.measure())
    link.read(health)
    clock.sleep_until_ns(clock.now_ns() + silent_ns)
    other.orientation = leaning(1.2)
    said.append(other.measure())
    link.read(health)
    assert (health.imu_ns == clock.now_ns()) is taken
    assert health.tilt_rad == pytest.approx(1.2 if taken else 0.0, abs=1e-6)
    one.close()
    other.close()


def test_the_same_bytes_on_a_serial_line() -> None:
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    clock, health = FakeClock(1000 * MS), Health()
    link = open_imu(SerialImu(channel=os.ttyname(theirs)), clock)
    imu = EmulatedImu("127.0.0.1", 9, clock)
    link.read(health)
    assert health.imu_ns == 0
    imu.orientation = leaning(0.25)
    raw = imu.measure()
    carry(ours, theirs, b"\x00NEI" + raw[:20])
    link.read(health)
    assert health.imu_ns == 0
    clock.sleep_until_ns(clock.now_ns() + MS)
    imu.orientation = leaning(0.5)
    carry(ours, theirs, raw[20:] + imu.measure())
    link.read(health)
    assert health.imu_ns == clock.now_ns()
    assert health.tilt_rad == pytest.approx(0.5, abs=1e-6)
    assert link.counters.readings == 2
    os.close(ours)
    clock.sleep_until_ns(clock.now_ns() + MS)
    link.read(health)
    assert health.imu_ns == clock.now_ns() - MS
    link.close()
    os.close(theirs)
    imu.close()


def test_what_cannot_be_opened_says_where(bench: Bench) -> None:
    with pytest.raises(DeviceMissing, match=f"127.0.0.1:{bench.port}"):
        open_imu(UdpImu(port=bench.port), bench.clock)
    with pytest.raises(DeviceMissing, match="/dev/none"):
        open_imu(SerialImu(channel="/dev/none"), bench.clock)


def test_a_robot_file_is_held_to_its_ticks_and_to_what_is_real() -> None:
    sim = load_robot("sim")
    robot = msgspec.structs.replace(sim, imu=UdpImu(port=9, emulated=True))
    check_robot(robot)
    assert robot.emulated
    short = msgspec.structs.replace(sim.safety, imu_silent_after_ms=39)
    check_robot(msgspec.structs.replace(sim, safety=short))
    with pytest.raises(ConfigWrong, match="imu_silent_after_ms"):
        check_robot(msgspec.structs.replace(robot, safety=short))
    buses = [msgspec.structs.replace(bus, channel="can0") for bus in sim.buses]
    real = msgspec.structs.replace(robot, buses=buses, sensors=[], simulated=False)
    with pytest.raises(ConfigWrong, match="simulated parts"):
        check_robot(real)


def test_leaning_forward_is_as_much_as_it_says() -> None:
    assert leaning(0.0) == UPRIGHT
    assert leaning(math.pi)[2] == pytest.approx(1.0)
