"""What profile adds: its JSON, the heads' placements, and the line that recommends one."""

from __future__ import annotations

import json

import msgspec
import numpy as np

from neon_edge.config import Budget, load_robot
from neon_edge.profile.budget import judge
from neon_edge.profile.compare import Before
from neon_edge.profile.observe import Observed
from neon_edge.profile.placements import TrialRing
from neon_edge.profile.present import present
from neon_edge.profile.report import (
    Placement,
    ProfileReport,
    compared,
    judged_placements,
    overlapping,
    profile_report,
    recommend,
)
from neon_edge.runtime.report import Spread
from neon_edge.telemetry.mapped import row_dtype
from neon_edge.telemetry.ring import PassRing
from tests.profile.runs import MS, observed, report, run_report


def test_json_holds_everything_and_comes_back() -> None:
    made = report(observed())
    again = msgspec.json.decode(msgspec.json.encode(made), type=ProfileReport)
    assert again == made
    assert made.lateness_histogram.total == 200
    assert made.probe_histogram.total == 180
    assert {line.row: line.kept for line in made.budget}["missed ticks"] is False
    assert made.lateness_histogram.max > 6000


def test_the_terminal_shows_the_probe_and_both_histograms() -> None:
    text = present(report(observed()))
    for words in ("bare wake-up", "wake-up lateness, µs", "feature age, ms", "heads on the CPU"):
        assert words in text


def test_a_comparison_is_in_the_json_and_decides_what_is_kept() -> None:
    made = report(observed())
    well = msgspec.structs.replace(made, budget=[])
    faster = {
        name: Spread(each.p50 / 2, each.p99 / 2, each.max) for name, each in made.stages_us.items()
    }
    was = msgspec.json.decode(
        msgspec.json.encode(msgspec.structs.replace(made, stages_us=faster)), type=Before
    )
    both = compared(well, was, 10.0)
    told = json.loads(msgspec.json.encode(both))["against"]
    assert told["allowed_percent"] == 10.0
    tick = next(c for c in told["changes"] if (c["row"], c["figure"]) == ("tick", "p99"))
    assert (tick["ratio"], tick["worse"]) == (2.0, True)
    assert (well.kept, both.kept, compared(well, was, None).kept) == (True, False, True)
    assert "worse by more than 10 %" in present(both)


def test_a_stage_with_a_budget_is_judged_and_one_without_is_not() -> None:
    made = run_report(observed())
    assert {line.row for line in judge(made, Budget())} == {
        "tick", "wake-up lateness", "feature age", "missed ticks",
    }  # fmt: skip
    everything = {name: 1000.0 for name in Budget.__struct_fields__}
    budget = Budget(**(everything | {"heads_ms": 1e-6, "backbone_ms": 1e-6, "write_ms": 1e-6}))
    verdicts = {line.row: line.kept for line in judge(made, budget)}
    assert len(verdicts) == len(Budget.__struct_fields__) + 1
    assert [row for row, kept in verdicts.items() if not kept] == [
        "backbone", "heads", "encode + write", "missed ticks",
    ]  # fmt: skip
    robot = msgspec.structs.replace(load_robot("sim"), budget=budget)
    drawn = present(profile_report(made, observed(), robot)).splitlines()
    assert sum(line.endswith("MISSED") for line in drawn) == 3
    assert sum(line.endswith("  ok") for line in drawn) == len(Budget.__struct_fields__) - 3


def rows_of(spans: list[tuple[int, int]]) -> np.ndarray:
    rows = np.zeros(len(spans), row_dtype(TrialRing.FIELDS))
    rows["start_ns"], rows["end_ns"] = np.array(spans).T * MS
    return rows


def test_only_inferences_that_meet_a_pass_are_beside_the_backbone() -> None:
    passes = np.zeros(2, row_dtype(PassRing.FIELDS))
    passes["captured_ns"] = [0, 100 * MS]
    passes["capture_ns"] = 10 * MS
    passes["backbone_ns"] = 20 * MS  # 10 to 30 and 110 to 130
    trials = rows_of([(0, 9), (5, 12), (29, 31), (31, 35), (115, 116), (140, 141)])
    assert overlapping(trials, passes).tolist() == [False, True, True, False, True, False]
    assert not overlapping(trials, passes[:0]).any()


def test_a_placement_without_plans_says_why_and_takes_no_number() -> None:
    seen = observed()
    seen.placements = seen.placements[::-1]
    gpu, cpu = judged_placements(seen, 50.0)
    assert (gpu.tick_us, gpu.why_not) == (None, "<no GPU> & sons")
    assert cpu.tick_us is not None
    assert 500 <= cpu.tick_us.p50 <= cpu.tick_us.max <= 900


def test_fast_loops_leave_no_room_and_say_so() -> None:
    seen = Observed()
    seen.placements = observed().placements
    cpu, _ = judged_placements(seen, 500.0)
    assert cpu.why_not == "no room beside 500 Hz"


def place(name: str, p99: float) -> Placement:
    return Placement(name, Spread(p99, p99, p99), Spread(p99, p99, p99), 99, True)


def test_the_gpu_must_win_by_a_margin() -> None:
    assert recommend([place("cpu", 900), place("gpu", 800)], 50).startswith("heads on the CPU")
    won = recommend([place("cpu", 900), place("gpu", 300)], 50)
    assert won.startswith("heads on the GPU: p99 0.30 ms beside the backbone, 1.5 % of the period")
    assert "cpu 0.90 ms (3 times)" in won
    assert "not measured: no GPU" in recommend([Placement("gpu", why_not="no GPU")], 50)
