"""The whole product from the command line: real processes, real clip, emulated motors, faults."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from pathlib import Path

import msgspec
import pytest

from neon_edge.config import load_robot
from tests.cli.live import Live, wait_s, write_robot
from tests.conftest import ROOT, neon_edge

KEYS = {
    "ticks", "missed", "clipped", "stale", "rate_hz", "lateness_us", "stages_us", "feature_age_ms",
    "joint_commands_sent", "joint_commands_received", "robot", "board",
}  # fmt: skip
STAGES = {
    "capture", "preprocess", "backbone", "publish", "read", "heads", "safety", "write", "tick"
}  # fmt: skip


def test_run_moves_the_robot_and_json_says_so(plans: Path) -> None:
    result = neon_edge("run", "--robot", "sim", "--engines", str(plans), "--seconds", "4", "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report.keys() >= KEYS
    assert report["stages_us"].keys() >= STAGES
    assert report["ticks"] + report["missed"] == 200
    assert report["joint_commands_sent"] == 29 * report["ticks"]
    assert report["joint_commands_received"] == report["joint_commands_sent"]
    assert report["features_hz"] >= 2
    assert report["stale"] == 0
    assert report["rows_lost"] == 0


def test_profile_prints_a_row_for_every_stage_and_judges_the_budget(plans: Path) -> None:
    result = neon_edge("profile", "--robot", "sim", "--engines", str(plans), "--seconds", "3")
    assert result.returncode in (0, 1), result.stderr
    for row in (
        "capture", "preprocess", "backbone", "publish", "feature age", "wake-up lateness", "tick",
        "  read", "  heads", "  safety", "  encode + write",
    ):  # fmt: skip
        assert re.search(rf"^{re.escape(row)}  +[\d.]+ +[\d.]+ +[\d.]+", result.stdout, re.M), row
    assert ("MISSED" in result.stdout) == (result.returncode == 1)


def test_a_budget_that_cannot_be_kept_exits_1(plans: Path, tmp_path: Path) -> None:
    text = (ROOT / "neon_edge/robots/sim.toml").read_text()
    strict = tmp_path / "strict.toml"
    strict.write_text(re.sub(r"\[budget\][^\[]*", "", text) + "\n[budget]\ntick_ms = 0.001\n")
    result = neon_edge("profile", "--robot", str(strict), "--engines", str(plans), "--seconds", "2")
    assert result.returncode == 1, result.stderr
    assert "MISSED" in result.stdout


def test_a_killed_backbone_holds_the_robot_and_comes_back(plans: Path, tmp_path: Path) -> None:
    robot = load_robot("sim")
    # A quiet machine has the backbone back within the second that the shipped robot allows.
    strict = msgspec.structs.replace(
        robot.safety, features_scale_after_ms=200, features_hold_after_ms=400, hold_damp_after_s=0
    )
    file = write_robot(tmp_path / "strict.toml", msgspec.structs.replace(robot, safety=strict))
    live = Live(plans, "--seconds", "12", robot=str(file))
    live.until_ticking()
    wait_s(4)
    os.kill(live.child("neon_edge.runtime.backbone"), signal.SIGKILL)
    code, out, err = live.end()
    assert code == 0, err
    report = json.loads(out)
    assert report["ticks"] + report["missed"] == 600
    assert report["backbone_restarts"] == 1
    assert report["causes"].get("features_old", 0) > 0
    assert 0 < report["stale"] <= sum(report["causes"].values())
    # It came back: the last vision acted on is younger than the hold's threshold.
    assert report["feature_age_ms"]["p50"] < 1000
    assert report["joint_commands_received"] == 29 * report["ticks"]
    assert "backbone process died (signal 9)" in err


def test_an_unplugged_bus_ends_the_run_with_74_and_names_it(plans: Path) -> None:
    live = Live(plans, "--seconds", "30")
    live.until_ticking()
    wait_s(1)
    os.kill(live.child("neon_edge.sim.main"), signal.SIGKILL)
    code, out, err = live.end()
    assert code == 74, err
    assert out == ""
    buses = {bus.name for bus in load_robot("sim").buses}
    assert any(bus in err for bus in buses)


def test_sigterm_stops_the_motors_and_reports(plans: Path) -> None:
    live = Live(plans)
    live.until_ticking()
    wait_s(1)
    live.run.terminate()
    code, out, err = live.end()
    assert code == 0, err
    assert json.loads(out)["ticks"] > 20


def test_nothing_is_left_behind(plans: Path) -> None:
    before = set(Path("/dev/shm").glob("neon-edge-*"))
    neon_edge("run", "--robot", "sim", "--engines", str(plans), "--seconds", "1", "--json")
    assert set(Path("/dev/shm").glob("neon-edge-*")) == before


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_a_damaged_plan_is_refused_before_any_motor_moves(
    plans: Path, tmp_path: Path, damage: str
) -> None:
    copy = tmp_path / "plans"
    shutil.copytree(plans, copy)
    plan = copy / "heads_row.ort.onnx"
    raw = bytearray(plan.read_bytes())
    if damage == "cut":
        raw = raw[: len(raw) // 2]
    else:
        raw[len(raw) // 2] ^= 1
    plan.write_bytes(raw)
    result = neon_edge("run", "--robot", "sim", "--engines", str(copy), "--seconds", "1")
    assert result.returncode == 78, result.stderr
    assert "has changed or was cut short" in result.stderr


def test_a_misspelt_key_exits_78_with_a_suggestion(tmp_path: Path) -> None:
    text = (ROOT / "neon_edge/robots/sim.toml").read_text()
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(text.replace("instruction =", "instruktion =", 1))
    result = neon_edge("run", "--robot", str(wrong), "--seconds", "1")
    assert result.returncode == 78
    assert len(result.stderr.strip().splitlines()) == 3
    assert "did you mean 'instruction'?" in result.stderr


def test_an_unknown_verb_exits_2() -> None:
    assert neon_edge("fly").returncode == 2
    assert neon_edge().returncode == 2
