"""A live robot that hears how it stands: silence holds it, a fall damps it, replay agrees."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import msgspec
import pytest

from neon_edge.clock import MonotonicClock
from neon_edge.config import load_robot
from neon_edge.config.imu import UdpImu
from neon_edge.safety.watch import Cause
from neon_edge.sim.imu import EmulatedImu, leaning
from neon_edge.types import Rung
from tests.cli.live import Live, wait_s, write_robot
from tests.conftest import neon_edge

pytestmark = pytest.mark.slow


class Sensor:
    """An IMU that tells every 10 ms how it stands, while it is on."""

    def __init__(self, port: int) -> None:
        self.imu = EmulatedImu("127.0.0.1", port, MonotonicClock())
        self.on = True
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended:
            if self.on:
                self.imu.tell()
            wait_s(0.01)

    def close(self) -> None:
        self._ended = True
        self._thread.join()
        self.imu.close()


def test_silence_holds_a_fall_damps_and_replay_agrees(plans: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    sim = load_robot("sim")
    # A busy machine may hold up the sensor too: a second is its own affair.
    safety = msgspec.structs.replace(sim.safety, imu_silent_after_ms=1000, hold_damp_after_s=0)
    robot = msgspec.structs.replace(sim, imu=UdpImu(port=port), safety=safety)
    path = tmp_path / "run.mcap"
    sensor = Sensor(port)
    live = Live(
        plans, "--record", str(path), robot=str(write_robot(tmp_path / "robot.toml", robot))
    )
    live.until_ticking()
    live.until(Rung.RUN)
    sensor.on = False
    assert live.until(Rung.HOLD)["cause"] == Cause.IMU_SILENT
    sensor.on = True
    live.until(Rung.RUN)
    sensor.imu.orientation = leaning(1.2)
    assert live.until(Rung.DAMP)["cause"] == Cause.TILTED
    live.run.terminate()
    code, _, err = live.end()
    sensor.close()
    assert code == 0, err
    outcome = neon_edge("replay", str(path), "--json")
    assert outcome.returncode == 0, outcome.stderr
    assert json.loads(outcome.stdout)["differing"] == 0


def test_an_emulated_imu_lets_a_simulated_robot_run(plans: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    robot = msgspec.structs.replace(load_robot("sim"), imu=UdpImu(port=port, emulated=True))
    live = Live(plans, robot=str(write_robot(tmp_path / "robot.toml", robot)))
    live.until_ticking()
    live.until(Rung.RUN)
    live.run.terminate()
    code, _, err = live.end()
    assert code == 0, err
    assert "the IMU was never heard" not in err
