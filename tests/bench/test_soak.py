"""What the soak calls wrong; and a short one: no process grows, no file stays open."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.soak import MOST_KIB, Sample, Seen, table
from tests.conftest import ROOT


def still(**changes: Seen) -> Sample:
    return {name: Seen(at, 50_000, 9, 1.0) for at, name in enumerate(MOST_KIB)} | changes


def wrongs(*samples: Sample) -> dict[str, str]:
    return {name: row["wrong"] for name, row in table(list(samples)).items() if row["wrong"]}


def test_processes_that_stay_as_they_are_are_well() -> None:
    assert wrongs(still(), still(), still()) == {}
    assert wrongs(still(), still(control=Seen(0, 51_024, 9, 2.0))) == {}


@pytest.mark.parametrize(
    ("name", "then", "word"),
    [
        ("control", Seen(0, 51_025, 9, 2.0), "grew by more than 1024 KiB"),
        ("supervisor", Seen(1, 54_097, 9, 2.0), "grew by more than 4096 KiB"),
        ("backbone", Seen(2, 50_000, 10, 2.0), "leaves files open"),
        ("motors", Seen(99, 50_000, 9, 2.0), "not there from the first sample to the last"),
    ],
)
def test_growth_an_open_file_and_another_process_are_wrong(
    name: str, then: Seen, word: str
) -> None:
    found = wrongs(still(), still(**{name: then}))
    assert list(found) == [name]
    assert word in found[name]


def test_a_process_that_ends_or_is_never_seen_is_wrong() -> None:
    gone = {name: seen for name, seen in still().items() if name != "backbone"}
    assert list(wrongs(still(), gone)) == list(wrongs(gone, gone)) == ["backbone"]


@pytest.mark.slow
def test_75_seconds_leave_memory_and_files_as_they_were(plans: Path) -> None:
    script = [sys.executable, "tests/bench/soak.py", "--seconds", "75", "--settle", "25", "--json"]
    done = subprocess.run(
        [*script, "--engines", str(plans)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    found = json.loads(done.stdout)
    assert {name: row["wrong"] for name, row in found["processes"].items()} == dict.fromkeys(
        MOST_KIB, ""
    ), found
    assert done.returncode == 0
    assert found["run"]["ticks"] > 2000
