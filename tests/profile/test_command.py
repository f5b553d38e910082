"""`neon-edge profile` with everything it can write, on real processes."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.conftest import neon_edge


def test_one_run_gives_json_a_page_a_trace_and_a_comparison(plans: Path, tmp_path: Path) -> None:
    base = ("profile", "--robot", "sim", "--engines", str(plans), "--json", "--seconds")
    before = neon_edge(*base, "1")
    assert before.returncode in (0, 1), before.stderr
    (tmp_path / "before.json").write_text(before.stdout)
    page, trace = tmp_path / "out.html", tmp_path / "out.json"
    ran = neon_edge(
        *base, "4", "--report", str(page), "--trace", str(trace),
        "--against", str(tmp_path / "before.json"), "--worse-than", "50%",
    )  # fmt: skip
    assert ran.returncode in (0, 1), ran.stderr
    report = json.loads(ran.stdout)
    assert report["ticks"] + report["missed"] == 200
    worse = [change for change in report["against"]["changes"] if change["worse"]]
    kept = all(line["kept"] for line in report["budget"])
    assert (ran.returncode == 0) == (kept and not worse)
    assert report["lateness_histogram"]["total"] == report["ticks"]
    # The probe and the heads' trial started with the first tick, give or take their own start.
    assert report["probe_histogram"]["total"] > 50
    cpu, gpu = report["placements"]
    assert cpu["name"] == "cpu"
    assert cpu["tick_us"]["p50"] > 0
    assert cpu["runs"] >= 20
    assert gpu["tick_us"] is not None or gpu["why_not"]
    assert report["recommendation"].startswith("heads on the")
    assert "before → after" in ran.stderr
    assert len(report["against"]["changes"]) == 2 * 13 + 4
    assert ET.fromstring(page.read_text().removeprefix("<!doctype html>\n")).tag == "html"
    events = json.loads(trace.read_text())["traceEvents"]
    assert sum(event["name"] == "tick" for event in events) == report["ticks"]
    assert any(event["ph"] == "f" for event in events)
    assert any(event["name"] == "heads on cpu" for event in events)
    assert not re.search(r"Traceback", ran.stderr)


def test_a_missing_before_is_refused_before_the_robot_moves(plans: Path, tmp_path: Path) -> None:
    absent = tmp_path / "absent.json"
    ran = neon_edge(
        "profile", "--robot", "sim", "--engines", str(plans), "--against", str(absent)
    )  # fmt: skip
    assert ran.returncode == 2
    assert str(absent) in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 3


def test_worse_than_nothing_is_refused_before_the_robot_moves() -> None:
    ran = neon_edge("profile", "--robot", "sim", "--worse-than", "10%")
    assert ran.returncode == 2
    assert "worse than what?" in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 3


@pytest.mark.parametrize("flag", ["--report", "--trace"])
def test_a_place_that_cannot_be_written_is_refused_before_the_robot_moves(
    tmp_path: Path, flag: str
) -> None:
    for place in (tmp_path, tmp_path / "absent" / "out"):
        ran = neon_edge("profile", "--robot", "sim", flag, str(place))
        assert ran.returncode == 2
        assert f"{place} cannot be written" in ran.stderr
