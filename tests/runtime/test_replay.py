"""Recorded runs, faults and all, replayed: every command comes out equal, and a lie is found."""

from __future__ import annotations

import json
import re
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.reader import make_reader

from neon_edge.config import load_robot
from neon_edge.errors import ConfigWrong
from neon_edge.runtime.messages import POOLED
from neon_edge.runtime.observed import Kind
from neon_edge.runtime.replay import replay
from neon_edge.telemetry.parts import PartedFile, following, part_path
from neon_edge.telemetry.recording import Channel, Recorded
from neon_edge.types import Rung
from tests.cli.live import Live
from tests.conftest import neon_edge
from tests.runtime.recordings import JOINTS, rewritten, rows_of


@pytest.mark.slow
def test_every_command_of_a_run_with_faults_comes_out_bit_for_bit(recording: Path) -> None:
    outcome = neon_edge("replay", str(recording), "--json")
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    report = json.loads(outcome.stdout)
    rows = rows_of(recording)
    assert report["differing"] == 0
    assert report["processes"] == 2
    assert report["ticks"] == int((rows["kind"] == Kind.TICK).sum()) > 300
    assert {Rung.RUN, Rung.HOLD, Rung.OFF} <= set(rows["rung"][rows["kind"] == Kind.TICK])
    assert [Kind(kind) for kind in rows["kind"] if kind != Kind.TICK] == [
        Kind.BEGIN, Kind.ARM, Kind.BEGIN, Kind.DISARM, Kind.ARM,
    ]  # fmt: skip
    np.testing.assert_array_equal(np.diff(rows["row"]), 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("field", "named"), [("command_position", True), ("wanted", True), ("command_base", False)]
)
def test_one_flipped_bit_is_found_and_named(
    recording: Path, tmp_path: Path, field: str, named: bool
) -> None:
    rows = rows_of(recording)
    at = int(np.flatnonzero(rows["rung"] == Rung.RUN)[150])
    row = rows[at : at + 1].copy()
    row[field].view(np.uint32)[0, 2] ^= 1
    path = rewritten(recording, tmp_path / "changed.mcap", {at: row.tobytes()})
    outcome = neon_edge("replay", str(path))
    assert outcome.returncode == 1
    lines = outcome.stdout.split("\n")
    assert lines[0] == f"first difference at tick {rows[at]['number']}: {field}"
    before, after = repr(row[field][0, 2].item()), repr(rows[at][field][2].item())
    assert before != after
    joint = JOINTS[2] if named else "2"
    assert lines[1] == f"  joint {joint}: recorded {before}, replayed {after}"
    assert "1 commands differ" in lines[2]


@pytest.mark.slow
def test_what_was_not_recorded_is_a_difference(recording: Path, tmp_path: Path) -> None:
    rows = rows_of(recording)
    gap = replay(rewritten(recording, tmp_path / "gap.mcap", {100: b"", 101: b""}))
    assert gap.first is not None
    assert gap.first.what == "2 rows before this one were not recorded"
    assert gap.first.tick == rows[102]["number"]
    blind = replay(rewritten(recording, tmp_path / "blind.mcap", {}, without=POOLED))
    assert blind.first is not None
    assert "which this tick used, were not recorded" in blind.first.what


@pytest.mark.slow
def test_parts_replay_as_the_whole_does_and_a_later_one_says_what_it_is(
    recording: Path, tmp_path: Path
) -> None:
    source = Recorded(recording)
    messages = list(source.messages())
    channels = [Channel(topic, "", None, about) for topic, about in source.channels.items()]
    path, most = tmp_path / "run.mcap", recording.stat().st_size // 3
    file = PartedFile(path, channels, source.metadata, 1 << 14, most)
    for at, message in enumerate(messages):
        file.add(message)
        if at % 500 == 0:
            file.sync()
    file.close()
    assert len(following(path)) >= 2
    report = replay(path)
    assert (report.differing, report.cut_short) == (0, "")
    assert report.ticks == int((rows_of(recording)["kind"] == Kind.TICK).sum())
    with pytest.raises(ConfigWrong, match="middle of a run"):
        replay(part_path(path, 1))
    part_path(path, 1).unlink()
    assert replay(path).ticks < report.ticks


@pytest.mark.slow
def test_a_recording_cut_short_replays_to_its_last_whole_second(
    recording: Path, tmp_path: Path
) -> None:
    whole = rows_of(recording)
    path = tmp_path / "run.mcap.part"
    path.write_bytes(recording.read_bytes()[: recording.stat().st_size // 2])
    outcome = neon_edge("replay", str(path))
    assert outcome.returncode == 0, outcome.stdout
    assert "cut short" in outcome.stdout
    assert 0.3 * len(whole) < len(rows_of(path)) < 0.7 * len(whole)


@pytest.mark.slow
def test_other_plans_are_refused(recording: Path, plans: Path, tmp_path: Path) -> None:
    manifest = json.loads((plans / "manifest.json").read_text())
    manifest["heads"]["part"]["plan_sha256"] = "0" * 64
    other = tmp_path / "plans"
    other.mkdir()
    (other / "manifest.json").write_text(json.dumps(manifest))
    outcome = neon_edge("replay", str(recording), "--engines", str(other))
    assert outcome.returncode == 78
    assert "not the plans that made the recording" in outcome.stderr


@pytest.mark.slow
def test_people_s_tools_find_joints_by_name_and_events_by_time(recording: Path) -> None:
    with recording.open("rb") as file:
        seen: dict[str, list[dict[str, object]]] = {}
        for schema, channel, message in make_reader(file, validate_crcs=True).iter_messages():
            if channel.message_encoding == "json":
                assert schema is not None
                content = json.loads(message.data)
                assert content.keys() <= json.loads(schema.data)["properties"].keys()
                seen.setdefault(channel.topic, []).append(content)
    ticks = int((rows_of(recording)["kind"] == Kind.TICK).sum())
    assert len(seen["/joints"]) == len(seen["/command"]) == ticks
    position = seen["/command"][100]["position"]
    assert isinstance(position, dict)
    assert list(position) == JOINTS
    assert abs(len(seen["/tick"]) - ticks) <= 1
    frames = [said for said in seen["/frames"] if said["sent"]]
    assert len(frames) > 300
    assert {str(said["bus"]) for said in frames} == {bus.name for bus in load_robot("sim").buses}
    can = r"[0-9A-F]{3,8}#(R|[0-9A-F]{0,16}|#[0-9A-F]{1,129})"
    for key, pattern in (("frames", can), ("bytes", r"([0-9a-f]{2})+")):
        spelled: list[Any] = [said[key] for said in seen["/frames"] if key in said]
        assert len(spelled) > 300
        assert [t for each in spelled for t in each if not re.fullmatch(pattern, t)] == []
    assert len(seen["/features"]) >= len(seen["/pass"]) - 2 > 20
    texts = [str(event["message"]) for event in seen["/event"]]
    assert any("backbone process died (signal 9)" in text for text in texts)
    assert any("control process died (signal 9)" in text for text in texts)
    assert any(re.match("hold: features old", text) for text in texts)


@pytest.mark.slow
def test_a_full_disk_ends_the_recording_and_not_the_run(plans: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    live = Live(plans, "--record", str(path), "--seconds", "8")
    live.until_ticking()
    limit = 150_000
    resource.prlimit(live.run.pid, resource.RLIMIT_FSIZE, (limit, limit))
    code, out, err = live.end()
    assert code == 0, err
    report = json.loads(out)
    assert (report["ticks"] + report["missed"], report["rows_lost"]) == (400, 0)
    said = [warning for warning in report["warnings"] if "recording" in warning]
    assert len(said) == 1, report["warnings"]
    assert said[0].startswith("recording stopped: ")
    assert err.count("recording stopped") == 2  # in the log, and in the summary
    left = path.with_name("run.mcap.part")
    assert not path.exists()
    assert 100_000 < left.stat().st_size <= limit
    assert replay(left).differing == 0
