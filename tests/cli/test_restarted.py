"""A robot that somebody's service manager starts again does not stand up by itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from neon_edge.config import RobotConfig, load_robot
from neon_edge.runtime.health import is_pressed
from neon_edge.runtime.unfinished import was_unfinished
from neon_edge.safety.watch import Cause
from neon_edge.sim.launch import start_sim, with_channels
from neon_edge.types import Rung
from tests.cli.live import CLOCK, Live, wait_s, write_robot
from tests.conftest import neon_edge

pytestmark = pytest.mark.slow
CONTROL, BACKBONE = "neon_edge.runtime.control", "neon_edge.runtime.backbone"


def killed_as_systemd_kills(live: Live) -> None:
    """The main process dies, and the rest of its control group with it."""
    children = [live.child(CONTROL), live.child(BACKBONE), live.child("neon_edge.sim.main")]
    live.run.kill()
    for child in children:
        os.kill(child, signal.SIGKILL)
    live.run.communicate()


def patient() -> RobotConfig:
    """On a busy machine features come late enough to damp it before anybody stops it."""
    robot = load_robot("sim")
    limits = {"features_scale_after_ms": 5000.0, "features_hold_after_ms": 10_000.0}
    safety = msgspec.structs.replace(robot.safety, hold_damp_after_s=0, **limits)
    return msgspec.structs.replace(robot, safety=safety)


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(write_robot(tmp_path / "patient.toml", patient()))


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What a service manager keeps from one run to the next."""
    directory = tmp_path / "kept"
    directory.mkdir()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(directory))
    yield directory


def test_a_service_that_was_killed_comes_back_disarmed_and_its_stop_still_pressed(
    plans: Path, kept: Path, file: str
) -> None:
    first = Live(plans, robot=file)
    first.until_ticking()
    first.until(Rung.RUN)
    stopped = neon_edge("stop", "--socket", str(kept))
    assert stopped.returncode == 0, stopped.stderr
    killed_as_systemd_kills(first)

    second = Live(plans, robot=file)
    second.until_ticking()
    assert second.until(Rung.OFF)["cause"] == Cause.DISARMED
    assert is_pressed(second.directory / "stop.flag")
    wait_s(1)
    rows = second.rows()
    assert (rows["rung"] == Rung.OFF).all()
    assert not rows["sent"].any()
    armed = neon_edge("arm", "--socket", str(kept))
    assert armed.returncode == 0, armed.stderr
    second.until(Rung.RUN)
    second.run.terminate()
    code, _, err = second.end()
    assert code == 0, err
    assert "waits for neon-edge arm" in err

    third = Live(plans, robot=file)
    third.until_ticking()
    third.until(Rung.RUN)
    assert neon_edge("stop", "--socket", str(kept)).returncode == 0
    third.run.terminate()
    assert third.end()[0] == 0
    assert was_unfinished(), "a stop that a person pressed outlives even an end"


def test_a_bus_that_fails_while_running_is_a_crash_too(plans: Path, kept: Path, file: str) -> None:
    live = Live(plans, robot=file)
    live.until_ticking()
    assert was_unfinished()
    os.kill(live.child("neon_edge.sim.main"), signal.SIGKILL)
    assert live.end()[0] == 74
    assert was_unfinished()


def test_a_robot_may_wait_for_a_person_at_every_start(plans: Path, tmp_path: Path) -> None:
    robot = msgspec.structs.replace(patient(), start="disarmed")
    live = Live(plans, robot=str(write_robot(tmp_path / "robot.toml", robot)))
    live.until_ticking()
    assert live.until(Rung.OFF)["cause"] == Cause.DISARMED
    armed = neon_edge("arm", "--socket", str(live.directory))
    assert armed.returncode == 0, armed.stderr
    live.until(Rung.RUN)
    live.run.terminate()
    assert live.end()[0] == 0


def test_words_that_come_while_it_starts_kill_nobody_and_change_nothing(
    plans: Path, file: str
) -> None:
    live = Live(plans, robot=file)
    control = live.child(CONTROL)
    give_up_ns = CLOCK.now_ns() + 60 * 10**9
    refused = None
    while CLOCK.now_ns() < give_up_ns and '"running"' not in _note(live):
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            os.kill(control, number)
        if refused is None and _socket(live).exists():
            refused = neon_edge("arm", "--socket", str(_socket(live)))
        wait_s(0.02)
    assert refused is not None
    live.until(Rung.RUN)
    assert live.child(CONTROL) == control
    # As slow as the machine may be, it was asked before or after control began to listen.
    assert refused.returncode == 0 or "does not listen" in refused.stderr
    live.run.terminate()
    code, out, err = live.end()
    assert code == 0, err
    assert msgspec.json.decode(out)["control_restarts"] == 0


def _socket(live: Live) -> Path:
    found = list(Path("/dev/shm").glob(f"neon-edge-{live.run.pid}-*/neon-edge.sock"))
    return found[0] if found else Path("/nowhere")


def _note(live: Live) -> str:
    for path in Path("/dev/shm").glob(f"neon-edge-{live.run.pid}-*/control.json"):
        return path.read_text()
    return ""


def test_a_run_without_its_supervisor_is_stopped_and_keeps_others_off_its_motors(
    plans: Path, tmp_path: Path
) -> None:
    robot = patient()
    with start_sim(robot, tmp_path) as body:
        apart = with_channels(robot, body.channels)
        file = str(write_robot(tmp_path / "apart.toml", apart))
        live = Live(plans, robot=file)
        live.until_ticking()
        live.until(Rung.RUN)
        control = live.child(CONTROL)
        directory = live.directory
        live.run.kill()
        live.run.wait()
        second = neon_edge(
            "run", "--robot", file, "--engines", str(plans), "--seconds", "1", "--quiet"
        )
        assert second.returncode == 69, second.stderr
        assert "another process commands the motors" in second.stderr
        stopped = neon_edge("stop", "--socket", str(directory))
        assert stopped.returncode == 0, stopped.stderr
        assert f"kill {control}" in stopped.stderr
        assert live.until(Rung.DAMP)["cause"] == Cause.STOP_PRESSED
        os.kill(control, signal.SIGTERM)
