"""What fails beside the tick costs no tick, and brings the robot to the right rung in time.

Each test hurts a real run of real processes. The whole table: `tests/bench/bench_faults.py`.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import msgspec
import numpy as np
import pytest

from neon_edge.config import load_robot
from neon_edge.runtime.rundir import sweep
from neon_edge.safety.watch import Cause
from neon_edge.sim.launch import start_sim, with_channels
from neon_edge.types import Rung
from tests.cli.live import Live, wait_s, write_robot
from tests.conftest import neon_edge

pytestmark = pytest.mark.slow
TICK_NS = 20_000_000
CONTROL, BACKBONE = "neon_edge.runtime.control", "neon_edge.runtime.backbone"


@pytest.fixture
def live(plans: Path) -> Live:
    run = Live(plans)
    run.until_ticking()
    run.until(Rung.RUN)
    wait_s(1)
    return run


def first(rows: np.ndarray, cause: Cause) -> np.void:
    """The first of the newest stretch of ticks with this cause."""
    found = np.flatnonzero(rows["cause"] == cause)
    assert len(found), f"no tick says {cause.name}"
    breaks = np.flatnonzero(np.diff(found) > 1)
    return rows[found[breaks[-1] + 1 if len(breaks) else 0]]


def missed(rows: np.ndarray) -> int:
    return int((np.diff(rows["number"]) - 1).sum())


def report_of(live: Live) -> dict[str, object]:
    live.run.terminate()
    code, out, err = live.end()
    assert code == 0, err
    report: dict[str, object] = json.loads(out)
    return report


def test_a_stopped_backbone_holds_at_the_limit_and_goes_on_when_it_does(live: Live) -> None:
    live.hurt(BACKBONE, signal.SIGSTOP)
    held = live.until(Rung.HOLD)
    rows = live.rows()
    onset = first(rows[rows["rung"] == Rung.HOLD], Cause.FEATURES_OLD)
    late_ns = int(onset["start_ns"]) - int(onset["features_ns"]) - 1_000_000_000
    assert 0 < late_ns <= 2 * TICK_NS
    assert held["cause"] == Cause.FEATURES_OLD
    live.hurt(BACKBONE, signal.SIGCONT)
    live.until(Rung.RUN)
    assert missed(live.rows()) == 0
    report = report_of(live)
    assert report["joint_commands_received"] == report["joint_commands_sent"]


def test_eight_killed_backbones_cost_no_tick(plans: Path, tmp_path: Path) -> None:
    robot = load_robot("sim")
    patient = msgspec.structs.replace(robot.safety, hold_damp_after_s=0)
    file = write_robot(tmp_path / "patient.toml", msgspec.structs.replace(robot, safety=patient))
    live = Live(plans, robot=str(file))
    live.until_ticking()
    dead: set[int] = set()
    kills = 0
    while kills < 8:  # each restart waits longer than the one before
        pid = live.child(BACKBONE, timeout_s=60)
        if pid not in dead:
            os.kill(pid, signal.SIGKILL)
            dead.add(pid)
            kills += 1
        wait_s(0.1)
    rows = live.rows()
    assert missed(rows) == 0
    report = report_of(live)
    assert report["missed"] == 0


def test_a_killed_control_process_comes_back_disarmed(live: Live) -> None:
    live.hurt(CONTROL, signal.SIGKILL)
    wait_s(1)
    live.child(CONTROL)
    off = live.until(Rung.OFF)
    assert off["cause"] == Cause.DISARMED
    assert off["sent"] == 0
    wait_s(1)
    live.hurt(CONTROL, signal.SIGUSR1)
    live.until(Rung.RUN)
    live.run.terminate()
    code, out, err = live.end()
    assert code == 0, err
    assert json.loads(out)["control_restarts"] == 1
    assert "comes back disarmed" in err


def test_a_killed_supervisor_stops_nothing(plans: Path, tmp_path: Path) -> None:
    robot = load_robot("sim")
    with start_sim(robot, tmp_path) as body:
        file = write_robot(tmp_path / "apart.toml", with_channels(robot, body.channels))
        live = Live(plans, "--seconds", "12", robot=str(file))
        live.until_ticking()
        live.until(Rung.RUN)
        directory = live.directory
        live.run.kill()
        live.run.wait()
        before = int(body.received().sum())
        wait_s(3)
        assert int(body.received().sum()) - before >= 29 * 50 * 2.5
        assert missed(live.rows()) == 0
        for _ in range(200):
            if directory in sweep() or not directory.exists():
                break
            wait_s(0.1)
        assert not directory.exists()


def test_stop_and_arm_are_two_words_from_any_terminal(live: Live) -> None:
    where = ("--socket", str(live.directory / "neon-edge.sock"))
    stopped = neon_edge("stop", *where)
    assert stopped.returncode == 0, stopped.stderr
    assert "stands on damp" in stopped.stderr
    assert live.until(Rung.DAMP)["cause"] == Cause.STOP_PRESSED
    armed = neon_edge("arm", *where)
    assert armed.returncode == 0, armed.stderr
    live.until(Rung.RUN)
