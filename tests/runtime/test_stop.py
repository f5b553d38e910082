"""A stop that was asked for is the motion that the robot file names, and then no torque."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from neon_edge.clock import FakeClock
from neon_edge.runtime.loop import Ticker
from neon_edge.runtime.observed import Kind, observed_fields
from neon_edge.runtime.replay import replay
from neon_edge.telemetry.mapped import row_dtype
from neon_edge.telemetry.recording import Recorded
from neon_edge.types import Rung
from tests.cli.live import Live, wait_s
from tests.conftest import ROOT

MS = 1_000_000


def test_lingering_ticks_stay_on_the_grid_and_go_on_counting() -> None:
    clock = FakeClock()
    ticker = Ticker(50.0, clock, 3)
    ticks = list(ticker.ticks())
    clock.advance_ns(45 * MS)  # the stop was slow in coming: two periods are gone
    lingering = list(ticker.linger(5))
    assert [tick.number for tick in ticks] == [0, 1, 2]
    assert [tick.number for tick in lingering] == [4, 5, 6, 7]
    assert {tick.due_ns - ticks[0].due_ns for tick in lingering} == {
        20 * MS * tick.number for tick in lingering
    }
    assert list(ticker.linger(0)) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stop", "rung", "kind"), [("hold", Rung.HOLD, Kind.UNASKED), ("damp", Rung.DAMP, Kind.TICK)]
)
def test_the_robot_stops_as_its_file_says(
    plans: Path, tmp_path: Path, stop: str, rung: Rung, kind: Kind
) -> None:
    text = (ROOT / "neon_edge" / "robots" / "sim.toml").read_text()
    robot = tmp_path / "sim.toml"
    robot.write_text(text.replace("rate_hz =", f'stop = "{stop}"\nstop_s = 1.0\nrate_hz =', 1))
    path = tmp_path / "run.mcap"
    live = Live(plans, "--record", str(path), robot=str(robot))
    live.until_ticking()
    wait_s(4)
    live.run.terminate()
    code, out, err = live.end()
    assert code == 0, err
    joints = 29
    payloads = [m.payload for m in Recorded(path).messages() if m.topic == "/neon_edge/rows"]
    rows = np.frombuffer(b"".join(payloads), row_dtype(observed_fields(joints)))
    last, before = rows[-50:], rows[-60:-50]
    assert (last["rung"] == rung).all()
    assert (last["kind"] == kind).all()
    assert (before["rung"] < Rung.HOLD).all()
    np.testing.assert_array_equal(np.diff(rows["number"][-60:]), 1)
    if stop == "hold":
        pose = last["command_position"]
        np.testing.assert_array_equal(
            pose, np.broadcast_to(before["command_position"][-1], pose.shape)
        )
        assert (last["command_kp"] > 0).all()
    else:
        assert not last["command_kp"].any()
    assert json.loads(out)["ticks"] == int((rows["number"] >= 0).sum())
    assert replay(path).differing == 0
