"""Live sensors over each of their transports, on real sockets and lines and a clock of our own."""

from __future__ import annotations

import os
import pty
import socket
import tty
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from neon_edge.clock import FakeClock
from neon_edge.config.sensors import LiveSensor, SerialSensor, UdpSensor, UnixSensor
from neon_edge.errors import DeviceMissing
from neon_edge.transport.hearing import MOST_A_READ, TAKEOVER_NS
from neon_edge.transport.protocol.sealed import Head
from neon_edge.transport.protocol.values import encode_values
from neon_edge.transport.sensors import WAITING, LiveSensors
from tests.transport.lines import carry
from tests.transport.test_imu import free_port

MS = 1_000_000
SHAPE = [2, 3]


class Way(NamedTuple):
    """A sensor of a robot file, and what puts bytes where it listens."""

    sensor: LiveSensor
    send: Callable[[bytes], object]
    datagrams: bool = True


def udp(opened: ExitStack, _: Path, shape: list[int]) -> Way:
    port = free_port()
    sender = opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sensor = UdpSensor(name="force", shape=shape, port=port)
    return Way(sensor, lambda raw: sender.sendto(raw, ("127.0.0.1", port)))


def unix(opened: ExitStack, place: Path, shape: list[int]) -> Way:
    path = str(place / "force.sock")
    sender = opened.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    sender.setblocking(False)
    return Way(
        UnixSensor(name="force", shape=shape, path=path), lambda raw: sender.sendto(raw, path)
    )


def serial(opened: ExitStack, _: Path, shape: list[int]) -> Way:
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    opened.callback(os.close, ours)
    opened.callback(os.close, theirs)
    sensor = SerialSensor(name="force", shape=shape, channel=os.ttyname(theirs))

    return Way(sensor, lambda raw: carry(ours, theirs, raw), datagrams=False)


class Bench:
    """One sensor, its sender and a clock."""

    def __init__(self, way: Way, opened: ExitStack) -> None:
        self.way = way
        self.clock = FakeClock(1000 * MS)
        self.sensors = LiveSensors([way.sensor], self.clock)
        opened.callback(self.sensors.close)
        self.readings = self.sensors.readings
        self.counters = self.sensors.counters["force"]
        self.sequence = 0

    def say(self, value: float, session: int = 1, sequence: int = 0) -> None:
        """One reading whose numbers count up from `value`."""
        self.clock.advance_ns(MS)
        self.sequence = sequence or self.sequence + 1
        size = self.way.sensor.size
        numbers = np.float32(value) + np.arange(size, dtype=np.float32)
        head = Head(session, self.sequence, self.clock.now_ns())
        self.way.send(encode_values(head, numbers))

    @property
    def value(self) -> npt.NDArray[np.float32]:
        return self.readings.by_name["force"]


@pytest.fixture(params=[udp, unix, serial])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as opened:
        yield Bench(request.param(opened, tmp_path, SHAPE), opened)


def test_never_heard_is_as_old_as_can_be_and_is_named(bench: Bench) -> None:
    bench.sensors.read()
    assert bench.readings.heard_ns.tolist() == [0]
    assert bench.sensors.unheard == ["force"]
    assert bench.value.tolist() == [[0, 0, 0], [0, 0, 0]]


def test_the_newest_of_several_counts_and_stays(bench: Bench) -> None:
    for value in (10, 20, 30):
        bench.say(value)
    bench.sensors.read()
    heard_ns = bench.clock.now_ns()
    assert bench.value.tolist() == [[30, 31, 32], [33, 34, 35]]
    assert bench.readings.values.tolist() == [30, 31, 32, 33, 34, 35]
    bench.clock.advance_ns(20 * MS)
    bench.sensors.read()
    assert bench.readings.heard_ns.tolist() == [heard_ns]
    assert bench.value[0, 0] == 30
    assert (bench.counters.readings, bench.sensors.unheard) == (3, [])


def test_what_is_damaged_late_or_not_finite_is_silence(bench: Bench) -> None:
    bench.say(1)
    bench.sensors.read()
    heard_ns = bench.clock.now_ns()
    bench.clock.advance_ns(20 * MS)
    whole = encode_values(Head(1, 7, bench.clock.now_ns()), np.ones(6, np.float32))
    broken = bytearray(whole)
    broken[30] ^= 1
    bench.way.send(bytes(broken))
    bench.way.send(encode_values(Head(1, 8, bench.clock.now_ns()), np.ones(5, np.float32)))
    bench.say(5, sequence=1)
    bench.sensors.read()
    assert bench.readings.heard_ns.tolist() == [heard_ns]
    assert bench.value[0, 0] == 1
    # On a line what is damaged is not even a message.
    assert bench.counters.damaged == (2 if bench.way.datagrams else 0)
    assert bench.counters.old == 1


@pytest.mark.parametrize(("silent_ns", "taken"), [(TAKEOVER_NS, False), (TAKEOVER_NS + 1, True)])
def test_another_sender_is_believed_after_a_silence(
    bench: Bench, silent_ns: int, taken: bool
) -> None:
    bench.say(1)
    bench.sensors.read()
    bench.clock.advance_ns(silent_ns - MS)
    bench.say(2, session=2, sequence=1)
    bench.sensors.read()
    assert bench.value[0, 0] == (2 if taken else 1)


def test_a_flood_takes_no_more_than_its_share_of_a_tick(bench: Bench) -> None:
    sent = 0
    with pytest.raises(BlockingIOError):
        for _ in range(3 * MOST_A_READ if bench.way.datagrams else MOST_A_READ):
            bench.say(1)
            sent += 1
        raise BlockingIOError  # UDP and a line take what they are given
    bench.sensors.read()
    assert 1 < bench.counters.readings <= MOST_A_READ
    bench.say(99)
    bench.sensors.catch_up()
    assert bench.value[0, 0] == 99


def test_what_queued_up_is_gone_after_catching_up(tmp_path: Path) -> None:
    with ExitStack() as opened:
        bench = Bench(unix(opened, tmp_path, [1]), opened)
        said = list(range(WAITING))
        link = bench.sensors._links[0].hearing

        def receive() -> bytes:
            if not said:
                raise BlockingIOError
            bench.clock.advance_ns(1)
            number = said.pop(0) + 1
            return encode_values(Head(1, number, number), [number])

        link._receive = receive
        bench.sensors.read()
        assert bench.value[0] == MOST_A_READ
        bench.sensors.catch_up()
        assert bench.value[0] == WAITING


@pytest.mark.parametrize("way", [udp, unix])
def test_a_large_reading_comes_whole_in_one_datagram(
    tmp_path: Path, way: Callable[[ExitStack, Path, list[int]], Way]
) -> None:
    shape = [16_369] if way is udp else [1, 224, 224]
    with ExitStack() as opened:
        bench = Bench(way(opened, tmp_path, shape), opened)
        for value in (1, 2):
            bench.say(value)
            bench.sensors.read()
        expected = np.float32(2) + np.arange(bench.way.sensor.size, dtype=np.float32)
        assert bench.value.ravel().tobytes() == expected.tobytes()
        assert list(bench.value.shape) == shape


def test_a_reading_allocates_nothing_that_grows_with_it(tmp_path: Path) -> None:
    import tracemalloc

    with ExitStack() as opened:
        bench = Bench(unix(opened, tmp_path, [1, 200, 200]), opened)
        bench.say(1)
        bench.sensors.read()
        bench.say(2)
        tracemalloc.start()
        bench.sensors.read()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert bench.value[0, 0, 0] == 2
        assert peak < 8192


def test_several_stand_behind_one_another_in_the_file_s_order(tmp_path: Path) -> None:
    with ExitStack() as opened:
        one, two = unix(opened, tmp_path, [2]), udp(opened, tmp_path, [1])
        other = UdpSensor(name="gps", shape=[1], port=two.sensor.port)  # type: ignore[union-attr]
        sensors = LiveSensors([one.sensor, other], FakeClock(5 * MS))
        opened.callback(sensors.close)
        two.send(encode_values(Head(1, 1, 1), [7.0]))
        sensors.read()
        assert sensors.readings.values.tolist() == [0, 0, 7]
        assert sensors.readings.heard_ns.tolist() == [0, 5 * MS]
        assert sensors.unheard == ["force"]


def test_what_cannot_be_opened_says_where_and_leaves_nothing_open(tmp_path: Path) -> None:
    with ExitStack() as opened:
        way = udp(opened, tmp_path, [1])
        first = UnixSensor(name="gps", shape=[1], path=str(tmp_path / "gps.sock"))
        taken = LiveSensors([way.sensor], FakeClock())
        opened.callback(taken.close)
        with pytest.raises(DeviceMissing, match="sensor 'force' cannot be opened"):
            LiveSensors([first, way.sensor], FakeClock())
        assert not Path(first.path).exists()
    with pytest.raises(DeviceMissing, match="/dev/none"):
        LiveSensors([SerialSensor(name="a", shape=[1], channel="/dev/none")], FakeClock())


def test_a_socket_left_by_a_run_that_died_is_replaced_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "force.sock"
    sensor = UnixSensor(name="force", shape=[1], path=str(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        dead.bind(str(path))
        with pytest.raises(DeviceMissing, match="somebody listens"):
            LiveSensors([sensor], FakeClock())
    sensors = LiveSensors([sensor], FakeClock())
    sensors.close()
    assert not path.exists()
    path.write_text("mine")
    with pytest.raises(DeviceMissing, match="something else than a socket"):
        LiveSensors([sensor], FakeClock())
    assert path.read_text() == "mine"
    with pytest.raises(DeviceMissing, match="too long"):
        LiveSensors([UnixSensor(name="a", shape=[1], path="/tmp/" + "x" * 200)], FakeClock())
