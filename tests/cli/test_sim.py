"""`neon-edge sim`: channels that any program can open, until it is told to end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import dynamixel_sdk
import pytest

from neon_edge.cli.main import main
from neon_edge.clock import MonotonicClock
from neon_edge.config import CanBus
from neon_edge.transport import open_bus
from neon_edge.transport.protocol import odrive
from tests.cli.live import write_robot
from tests.conftest import ROOT
from tests.transport.families import robot_of

CLOCK = MonotonicClock()


def begun(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "neon_edge", "sim", *words],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # Tests that run in the background were given a Ctrl-C that is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )  # fmt: skip


def test_a_line_for_the_vendors_own_tools_until_ctrl_c(tmp_path: Path) -> None:
    file = write_robot(tmp_path / "r.toml", robot_of("dynamixel"))
    sim = begun("--robot", str(file), "--json")
    assert sim.stdout is not None
    told = json.loads(sim.stdout.readline())
    port = dynamixel_sdk.PortHandler(told["channels"]["line"])
    assert port.openPort()
    assert port.setBaudRate(1_000_000)
    found, result = dynamixel_sdk.PacketHandler(2.0).broadcastPing(port)
    assert (sorted(found), result) == ([1, 2, 3], 0)
    port.closePort()
    sim.send_signal(signal.SIGINT)
    assert sim.wait(20) == 0
    assert not Path(f"/proc/{told['pid']}").exists()


def test_a_real_robots_motors_are_emulated_and_suffer_what_is_asked_for(tmp_path: Path) -> None:
    file = write_robot(tmp_path / "r.toml", robot_of("odrive"))
    faults = tmp_path / "faults.toml"
    faults.write_text('seed = 1\n[[wire]]\nway = "replies"\ndrop = 1.0\n')
    for words, heard in (((), True), (("--faults", str(faults)), False)):
        sim = begun("--robot", str(file), "--seconds", "60", *words)
        assert sim.stdout is not None
        name, channel, joints, _ = sim.stdout.readline().split()
        assert (name, joints) == ("line", "3")
        bus = open_bus(CanBus("line", channel), CLOCK)
        bus.send([odrive.ask(1, odrive.Command.HEARTBEAT)])
        assert bool(bus.receive_until(CLOCK.now_ns() + 300_000_000)) is heard
        bus.close()
        sim.send_signal(signal.SIGINT)
        _, err = sim.communicate(timeout=30)
        assert sim.returncode == 0
        assert "Ctrl-C ends" in err


def test_it_ends_when_its_time_is_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_robot(tmp_path / "r.toml", robot_of("feetech"))
    assert main(["sim", "--robot", str(file), "--seconds", "0.2"]) == 0
    assert capsys.readouterr().out.split()[2:] == ["3", "joints"]


def test_faults_that_make_no_sense_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faults = tmp_path / "faults.toml"
    faults.write_text("[[wire]]\ndorp = 1.0\n")
    assert main(["sim", "--robot", "sim", "--faults", str(faults)]) == 78
    assert "did you mean 'drop'?" in capsys.readouterr().err
