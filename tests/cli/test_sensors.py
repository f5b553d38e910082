"""A live robot whose head feels a sensor that the documented sender speaks for; replay agrees."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from neon_edge.config import load_robot
from neon_edge.config.sensors import UnixSensor
from neon_edge.runtime.messages import ROWS
from neon_edge.runtime.observed import Kind, robot_fields
from neon_edge.safety.watch import Cause
from neon_edge.telemetry.mapped import row_dtype
from neon_edge.telemetry.recording import Recorded
from neon_edge.types import Rung
from tests.cli.live import Live, wait_s, write_robot
from tests.conftest import ROOT, neon_edge
from tests.runtime.recordings import rewritten

pytestmark = pytest.mark.slow


def test_a_live_sensor_moves_the_robot_its_silence_holds_it_and_replay_agrees(
    plans: Path, tmp_path: Path
) -> None:
    sim = load_robot("sim")
    # A busy machine may hold up the sender too: a second is its own affair.
    where = tmp_path / "imu.sock"
    sensor = UnixSensor(name="imu", shape=[9], path=str(where), stale_after_ms=1000)
    patient = msgspec.structs.replace(sim.safety, hold_damp_after_s=0)
    robot = msgspec.structs.replace(sim, sensors=[sensor], safety=patient)
    file = str(write_robot(tmp_path / "robot.toml", robot))
    script = str(ROOT / "scripts" / "send_sensor.py")
    sender = subprocess.Popen([sys.executable, script, str(where), "9", "--hz", "100"])
    try:
        path = tmp_path / "run.mcap"
        live = Live(plans, "--record", str(path), robot=file)
        live.until_ticking()
        live.until(Rung.RUN)
        wait_s(3)
        sender.send_signal(signal.SIGSTOP)
        held = live.until(Rung.HOLD)
        assert (held["cause"], held["joint"]) == (Cause.SENSOR_SILENT, 0)
        sender.send_signal(signal.SIGCONT)
        live.until(Rung.RUN)
        live.run.terminate()
        code, _, err = live.end()
        assert code == 0, err
        assert "hold: sensor silent (imu)" in err
    finally:
        sender.kill()
        sender.wait()
    assert not where.exists()
    outcome = neon_edge("replay", str(path), "--json")
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert json.loads(outcome.stdout)["differing"] == 0
    payloads = [m.payload for m in Recorded(path).messages() if m.topic == ROWS]
    rows = np.frombuffer(b"".join(payloads), row_dtype(robot_fields(robot)))
    ticks = rows[rows["kind"] == Kind.TICK]
    assert len(np.unique(ticks["sensor_values"][:, 0])) > 50
    # Replay gives the heads what was recorded: with anything else they want something else.
    at = int(np.flatnonzero(rows["kind"] == Kind.TICK)[100])
    row = rows[at : at + 1].copy()
    row["sensor_values"] += 1
    lied = rewritten(path, tmp_path / "lied.mcap", {at: row.tobytes()})
    assert neon_edge("replay", str(lied)).returncode == 1


def test_a_robot_whose_sensor_never_speaks_is_not_armed(plans: Path, tmp_path: Path) -> None:
    sim = load_robot("sim")
    sensor = UnixSensor(name="imu", shape=[9], path=str(tmp_path / "imu.sock"))
    file = write_robot(tmp_path / "robot.toml", msgspec.structs.replace(sim, sensors=[sensor]))
    outcome = neon_edge("run", "--robot", str(file), "--engines", str(plans), "--seconds", "2")
    assert outcome.returncode == 69, outcome.stderr
    assert "a sensor that has not spoken yet" in outcome.stderr
    assert "never heard: imu" in outcome.stderr
