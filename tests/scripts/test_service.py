"""The service as systemd reads it, and the scripts that install it and bring its CAN links up."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from neon_edge.config import load_robot
from tests.conftest import ROOT

SCRIPTS = ROOT / "scripts"
UNITS = ("neon-edge.service", "neon-edge-can.service")
BIN = Path(sys.executable).parent
CAN_ROBOT = """
name = "arm"
engines = "x"
[[buses]]
name = "left"
kind = "can"
channel = "can0"
[[buses]]
name = "right"
kind = "can"
channel = "can1"
fd = true
[[joints]]
name = "j"
bus = "left"
lower = -1.0
upper = 1.0
velocity = 1.0
effort = 1.0
motor = { family = "damiao", id = 1, feedback_id = 17 }
"""

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def told(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **environment},
    )  # fmt: skip


@pytest.fixture
def units(tmp_path: Path) -> list[str]:
    """Both units with programs that exist here: whether they do is the installer's concern."""
    paths = []
    for name in UNITS:
        text = (SCRIPTS / name).read_text()
        text = text.replace("/usr/local/lib/neon-edge/setup_can.sh", str(SCRIPTS / "setup_can.sh"))
        path = tmp_path / name
        path.write_text(text)
        paths.append(str(path))
    return paths


@needs_systemd
def test_systemd_has_nothing_to_say_against_the_units(units: list[str]) -> None:
    outcome = told("systemd-analyze", "verify", *units)
    assert (outcome.returncode, outcome.stderr) == (0, "")


@needs_systemd
@pytest.mark.parametrize("name", UNITS)
def test_the_units_are_exposed_to_little(units: list[str], name: str) -> None:
    unit = next(path for path in units if path.endswith(f"/{name}"))
    outcome = told("systemd-analyze", "security", "--offline=true", "--threshold=25", unit)
    assert outcome.returncode == 0, outcome.stdout
    level = re.search(r"Overall exposure level for \S+: ([\d.]+)", outcome.stdout)
    assert level is not None
    assert float(level[1]) <= 2.5


def test_a_wrong_command_line_or_file_is_not_tried_again() -> None:
    text = (SCRIPTS / "neon-edge.service").read_text()
    assert re.search(r"^RestartPreventExitStatus=2 78$", text, re.M)
    assert re.search(r"^Type=notify$", text, re.M)
    assert not re.search(r"^(CPUScheduling|MemoryDenyWriteExecute|PrivateDevices)", text, re.M)


def test_what_remembers_a_crash_outlives_it_and_not_a_stop() -> None:
    text = (SCRIPTS / "neon-edge.service").read_text()
    assert re.search(r"^RuntimeDirectory=neon-edge$", text, re.M)
    assert re.search(r"^RuntimeDirectoryPreserve=restart$", text, re.M)


def test_the_unit_waits_longer_for_a_start_than_the_robot_does_for_its_features() -> None:
    text = (SCRIPTS / "neon-edge.service").read_text()
    patience = re.search(r"^TimeoutStartSec=(\d+)$", text, re.M)
    assert patience is not None
    assert int(patience[1]) > load_robot("sim").first_features_s


def test_a_dry_run_shows_every_step_and_takes_none(tmp_path: Path) -> None:
    robot = tmp_path / "arm.toml"
    robot.write_text(CAN_ROBOT)
    outcome = told(str(SCRIPTS / "install_service.sh"), "--dry-run", "--robot", str(robot))
    assert outcome.returncode == 0, outcome.stderr
    for line in (
        "+ write /etc/systemd/system/neon-edge.service",
        "+ write /etc/systemd/system/neon-edge-can.service",
        "+ systemctl enable neon-edge-can.service neon-edge.service",
        "    NEON_EDGE_ROBOT=arm",
        "    can0 1000000 ",
        "    can1 1000000 5000000",
        f"    ExecStart={BIN}/neon-edge run --quiet $NEON_EDGE_OPTIONS",
    ):
        assert line in outcome.stdout.split("\n"), line
    assert not Path("/etc/systemd/system/neon-edge.service").exists()


def test_nothing_is_installed_for_a_robot_that_is_wrong(tmp_path: Path) -> None:
    robot = tmp_path / "arm.toml"
    robot.write_text(CAN_ROBOT.replace("upper = 1.0", "upper = -2.0"))
    outcome = told(str(SCRIPTS / "install_service.sh"), "--dry-run", "--robot", str(robot))
    assert outcome.returncode != 0
    assert "has no room to move" in outcome.stderr
    assert "+ " not in outcome.stdout
    assert told(str(SCRIPTS / "install_service.sh"), NEON_EDGE_ROBOT="").returncode == 2


@pytest.fixture
def ip(tmp_path: Path) -> Path:
    """An `ip` that writes down what it was asked; one link lacks berr-reporting, one is absent."""
    log = tmp_path / "ip.log"
    fake = tmp_path / "bin" / "ip"
    fake.parent.mkdir()
    fake.write_text(
        f'#!/bin/sh\necho "$@" >>{log}\ncase "$*" in *can1*berr-reporting*|*can9*) exit 1 ;; esac\n'
    )
    fake.chmod(0o755)
    return log


def links(tmp_path: Path, text: str, *flags: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "can.conf").write_text(text)
    command = [str(SCRIPTS / "setup_can.sh"), *flags, str(tmp_path / "can.conf")]
    return told(*command, PATH=f"{tmp_path}/bin:{os.environ['PATH']}")


def test_links_come_up_with_a_long_queue_and_recover_from_bus_off(tmp_path: Path, ip: Path) -> None:
    outcome = links(tmp_path, "# two arms\ncan0 1000000\n\ncan1 1000000 5000000\n")
    assert outcome.returncode == 0, outcome.stderr
    assert ip.read_text().split("\n")[:-1] == [
        "link set can0 down",
        "link set can0 type can bitrate 1000000 restart-ms 100 berr-reporting on",
        "link set can0 txqueuelen 1000",
        "link set can0 up",
        "link set can1 down",
        "link set can1 type can bitrate 1000000 dbitrate 5000000 fd on restart-ms 100 "
        "berr-reporting on",
        "link set can1 type can bitrate 1000000 dbitrate 5000000 fd on restart-ms 100",
        "link set can1 txqueuelen 1000",
        "link set can1 up",
    ]


def test_an_absent_adapter_does_not_keep_the_others_down(tmp_path: Path, ip: Path) -> None:
    outcome = links(tmp_path, "can9 1000000\ncan0 500000\n")
    assert outcome.returncode == 69
    assert "can9 failed" in outcome.stderr
    assert "link set can0 up" in ip.read_text()
    assert "link set can9 up" not in ip.read_text()
    assert links(tmp_path, "can0 500000\n", "--down").returncode == 0
    assert ip.read_text().endswith("link set can0 down\n")


@pytest.mark.parametrize("wrong", ["can0\n", "can0 fast\n", "can0 1 2 3\n"])
def test_a_line_that_is_no_link_is_refused(tmp_path: Path, ip: Path, wrong: str) -> None:
    assert links(tmp_path, wrong).returncode == 78
    assert not ip.exists()
