"""What systemd hears of a run, on a real notify socket: ready when it is, fed while it moves."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from neon_edge.clock import FakeClock
from neon_edge.runtime.systemd import Notifier, Service
from tests.cli.live import CLOCK, Live

SECOND = 1_000_000_000


class Listener:
    """The service manager's end: a datagram socket, as systemd binds it."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.setblocking(False)
        self.heard: list[str] = []

    def listen(self) -> list[str]:
        """Lines that came since the last call."""
        lines: list[str] = []
        while True:
            try:
                lines += self._socket.recv(4096).decode().split("\n")
            except BlockingIOError:
                self.heard += lines
                return lines

    def until(self, line: str, seconds: float) -> None:
        give_up_ns = CLOCK.now_ns() + round(seconds * SECOND)
        while line not in self.listen():
            assert CLOCK.now_ns() < give_up_ns, f"no {line} in {self.heard}"
            CLOCK.sleep_until_ns(CLOCK.now_ns() + SECOND // 20)

    def during(self, seconds: float) -> list[str]:
        self.listen()
        CLOCK.sleep_until_ns(CLOCK.now_ns() + round(seconds * SECOND))
        return self.listen()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "notify") if request.param == "path" else f"@neon-edge-{os.getpid()}"


@pytest.fixture
def listener(address: str) -> Iterator[Listener]:
    opened = Listener(address)
    yield opened
    opened.close()


def service(address: str, **environment: str) -> tuple[Service, FakeClock]:
    clock = FakeClock()
    return Service(clock, {"NOTIFY_SOCKET": address, **environment}), clock


def test_ready_waits_for_motors_and_ticks(address: str, listener: Listener) -> None:
    told, _ = service(address)
    told.look("starting", 0, "starting")
    told.look("running", 0, "starting")
    assert "READY=1" not in listener.listen()
    told.look("running", 1, "50.0 Hz")
    told.look("running", 2, "50.0 Hz")
    heard = listener.listen()
    assert heard.count("READY=1") == 1
    assert "STATUS=50.0 Hz" in heard


def test_the_watchdog_is_fed_by_new_ticks_alone(address: str, listener: Listener) -> None:
    told, clock = service(address, WATCHDOG_USEC="1000000", WATCHDOG_PID=str(os.getpid()))
    ticks = 0
    for _ in range(40):  # 4 s of ticks
        ticks += 5
        told.look("running", ticks, "")
        clock.advance_ns(SECOND // 10)
    assert listener.listen().count("WATCHDOG=1") == 8
    for _ in range(40):  # 4 s of a loop that hangs
        clock.advance_ns(SECOND // 10)
        told.look("running", ticks, "")
    assert "WATCHDOG=1" not in listener.listen()


def test_the_watchdog_is_fed_while_a_dead_control_process_is_brought_back(
    address: str, listener: Listener
) -> None:
    told, clock = service(address, WATCHDOG_USEC="10000000", WATCHDOG_PID=str(os.getpid()))
    told.look("starting", 0, "", waiting=True)
    assert "WATCHDOG=1" not in listener.listen()
    told.look("running", 5, "")
    listener.listen()
    fed = 0
    for _ in range(300):  # 30 s: longer than the longest wait between two restarts
        clock.advance_ns(SECOND // 10)
        told.look("starting", 5, "", waiting=True)
        fed += listener.listen().count("WATCHDOG=1")
    assert fed == 6
    for _ in range(100):
        clock.advance_ns(SECOND // 10)
        told.look("starting", 5, "", waiting=False)
    assert "WATCHDOG=1" not in listener.listen()


@pytest.mark.parametrize(
    "environment", [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "9", "WATCHDOG_PID": "1"}]
)
def test_a_watchdog_that_is_not_ours_is_not_fed(
    address: str, listener: Listener, environment: dict[str, str]
) -> None:
    told, clock = service(address, **environment)
    for ticks in range(1, 20):
        told.look("running", ticks, "")
        clock.advance_ns(SECOND)
    assert "WATCHDOG=1" not in listener.listen()


def test_status_is_told_once_a_second_and_stopping_once(address: str, listener: Listener) -> None:
    told, clock = service(address)
    for look in range(50):
        told.look("starting", 0, f"look {look}")
        clock.advance_ns(SECOND // 10)
    assert len([line for line in listener.listen() if line.startswith("STATUS=")]) == 5
    told.stopping()
    told.stopping()
    assert listener.listen().count("STOPPING=1") == 1


def test_without_systemd_or_with_a_dead_one_nothing_happens(tmp_path: Path) -> None:
    assert not Notifier("").tell("READY=1")
    gone = Notifier(str(tmp_path / "gone"))
    assert not gone.tell("READY=1")
    gone.close()
    gone.close()


@pytest.mark.slow
def test_a_hanging_control_process_starves_the_watchdog(
    plans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = str(tmp_path / "notify")
    listener = Listener(address)
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    live = Live(plans)
    listener.until("READY=1", 40)
    assert "WATCHDOG=1" not in listener.heard[: listener.heard.index("READY=1")]
    assert 2 <= listener.during(3).count("WATCHDOG=1") <= 7
    assert any(line.startswith("STATUS=") and " Hz" in line for line in listener.heard)
    control = live.child("neon_edge.runtime.control")
    os.kill(control, signal.SIGSTOP)
    try:
        listener.during(0.5)  # what was in the ring already
        assert "WATCHDOG=1" not in listener.during(3)
    finally:
        os.kill(control, signal.SIGCONT)
    live.run.terminate()
    listener.until("STOPPING=1", 5)
    live.end()
    listener.close()
