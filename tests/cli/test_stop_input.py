"""A live robot with an e-stop's heartbeat coming in, and its own going out to a relay."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from neon_edge.config import load_robot
from neon_edge.config.stopping import UdpBeat, UdpStop
from neon_edge.safety.watch import Cause
from neon_edge.types import Rung
from tests.cli.live import Live, wait_s, write_robot
from tests.conftest import neon_edge

pytestmark = pytest.mark.slow


class Button:
    """An e-stop that says every 20 ms that nobody presses it."""

    def __init__(self, port: int) -> None:
        self.well = True
        self._ended = False
        self._port = port
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as speaker:
            while not self._ended:
                if self.well:
                    speaker.sendto(b"\x01", ("127.0.0.1", self._port))
                wait_s(0.02)

    def close(self) -> None:
        self._ended = True
        self._thread.join()


@pytest.fixture
def relay() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind(("127.0.0.1", 0))
        ear.settimeout(30)
        yield ear


def drained(ear: socket.socket) -> int:
    ear.setblocking(False)
    count = 0
    try:
        while True:
            ear.recv(8)
            count += 1
    except BlockingIOError:
        ear.settimeout(30)
        return count


def test_a_lost_button_damps_and_the_relay_hears_it(
    plans: Path, tmp_path: Path, relay: socket.socket
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    robot = msgspec.structs.replace(
        load_robot("sim"),
        # A busy machine may hold up the button too: a second is its own affair.
        stop_input=UdpStop(port=port, timeout_ms=1000),
        heartbeat=UdpBeat(address="127.0.0.1", port=relay.getsockname()[1]),
    )
    button = Button(port)
    live = Live(plans, robot=str(write_robot(tmp_path / "robot.toml", robot)))
    live.until_ticking()
    live.until(Rung.RUN)
    first = relay.recv(8)[0]
    assert relay.recv(8)[0] == (first + 1) & 0xFF
    button.well = False
    assert live.until(Rung.DAMP)["cause"] == Cause.STOP_PRESSED
    wait_s(0.2)
    drained(relay)
    wait_s(0.5)
    assert drained(relay) == 0
    where = ("--socket", str(live.directory / "neon-edge.sock"))
    refused = neon_edge("arm", *where)
    assert refused.returncode == 69
    assert "the e-stop is pressed" in refused.stderr
    button.well = True
    wait_s(0.3)
    armed = neon_edge("arm", *where)
    assert armed.returncode == 0, armed.stderr
    live.until(Rung.RUN)
    drained(relay)
    relay.recv(8)
    button.close()
    live.run.terminate()
    assert live.end()[0] == 0


def test_a_robot_whose_button_is_pressed_comes_up_without_torque(
    plans: Path, tmp_path: Path
) -> None:
    robot = msgspec.structs.replace(load_robot("sim"), stop_input=UdpStop(port=9))
    live = Live(plans, robot=str(write_robot(tmp_path / "robot.toml", robot)))
    live.until_ticking()
    assert live.until(Rung.OFF)["cause"] == Cause.DISARMED
    assert not live.rows()["sent"].any()
    live.run.terminate()
    assert live.end()[0] == 0
