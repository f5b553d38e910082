"""What a run amounts to, from rows made by hand."""

import numpy as np

from neon_edge.runtime import report
from neon_edge.safety.watch import Cause
from neon_edge.telemetry.mapped import row_dtype
from neon_edge.telemetry.ring import PassRing, TickRing
from neon_edge.types import Rung

MS = 1_000_000


def ticks(numbers: list[int], **columns: list[int]) -> np.ndarray:
    rows = np.zeros(len(numbers), row_dtype(TickRing.FIELDS))
    rows["number"] = numbers
    rows["due_ns"] = np.array(numbers) * 20 * MS + 1000 * MS
    rows["start_ns"] = rows["due_ns"]
    rows["end_ns"] = rows["start_ns"] + 2 * MS
    for name, values in columns.items():
        rows[name] = values
    return rows


def test_missed_is_what_the_phase_grid_lacks() -> None:
    assert report.missed(ticks([0, 1, 2, 5, 6])) == 2
    assert report.missed(ticks([0, 1, 2])) == 0
    assert report.missed(ticks([])) == 0


def test_a_first_tick_that_came_late_counts_as_missed() -> None:
    assert report.missed(ticks([3, 4])) == 3


def test_each_control_process_has_a_grid_of_its_own() -> None:
    assert report.missed(ticks([0, 1, 3, 0, 1, 2, 5])) == 3


def test_the_rate_is_ticks_over_the_time_they_took() -> None:
    assert report.rate(ticks(list(range(51)))) == 50.0
    assert report.rate(ticks([0, 2, 4])) == 25.0
    assert report.rate(ticks([1])) == 0.0


def test_lateness_keeps_its_worst() -> None:
    rows = ticks(list(range(1000)))
    rows["start_ns"] += 50_000
    rows["start_ns"][500] += 7 * MS
    late = report.lateness(rows)
    assert (late.p50, late.max) == (50.0, 7050.0)
    assert late.p50 <= late.p99 <= late.p999 <= late.max


def test_feature_age_counts_only_ticks_that_saw_something() -> None:
    rows = ticks([0, 1, 2, 3], features_ns=[0, 1000 * MS, 1000 * MS, 1000 * MS])
    age = report.feature_age(rows)
    assert (age.p50, age.max) == (40.0, 60.0)


def test_causes_name_why_the_robot_held() -> None:
    rows = ticks(
        [0, 1, 2],
        cause=[Cause.NONE, Cause.FEATURES_OLD, Cause.FEATURES_OLD],
        rung=[Rung.RUN, Rung.HOLD, Rung.HOLD],
    )
    assert report.causes(rows) == {"features_old": 2}
    assert report.held(rows) == 2
    assert report.scaled(ticks([0, 1], rung=[Rung.SCALE, Rung.HOLD])) == 1


def test_every_stage_has_a_row_and_an_unpublished_pass_no_sequence() -> None:
    passes = np.zeros(3, row_dtype(PassRing.FIELDS))
    passes["sequence"] = [1, 0, 2]
    passes["captured_ns"] = np.array([1000, 1250, 1500]) * MS
    passes["backbone_ns"] = [5 * MS, 6 * MS, 7 * MS]
    table = report.stages(ticks([0, 1]), passes)
    assert list(table) == [*report.PASS_STAGES, *report.TICK_STAGES, "tick"]
    assert table["backbone"].p50 == 6000.0
    assert table["tick"].max == 2000.0
    assert report.features_rate(passes) == 2.0


def test_an_empty_run_has_zeros_and_no_crash() -> None:
    passes = np.zeros(0, row_dtype(PassRing.FIELDS))
    assert report.stages(ticks([]), passes)["tick"].max == 0.0
    assert report.lateness(ticks([])).max == 0.0
    assert report.feature_age(ticks([])).p50 == 0.0
    assert report.features_rate(passes) == 0.0


def test_joint_age_is_the_time_since_it_was_asked_for_or_since_it_last_came() -> None:
    rows = ticks([0, 1, 2, 3], write_ns=[MS, MS, MS, MS])
    rows["joints_ns"] = rows["start_ns"] + 10
    rows["joints_ns"][2] = rows["start_ns"][0]
    age = report.joint_age(rows)
    # 20 ms period, 2 ms tick of which the last is the write: 19 ms; then silent for 40 ms.
    assert (age.p50, age.max) == (19.0, 40.0)
