"""What a run amounts to, from rows made by hand: whole, and counted as they come."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from neon_edge.runtime import report
from neon_edge.runtime.tally import Tally
from neon_edge.safety.watch import Cause
from neon_edge.telemetry.mapped import row_dtype
from neon_edge.telemetry.reader import RingReader
from neon_edge.telemetry.ring import PassRing, TickRing
from neon_edge.types import Rung
from tests.profile.runs import observed

MS = 1_000_000
NO_PASSES = np.zeros(0, row_dtype(PassRing.FIELDS))


def ticks(numbers: list[int], **columns: list[int]) -> np.ndarray:
    rows = np.zeros(len(numbers), row_dtype(TickRing.FIELDS))
    rows["number"] = numbers
    rows["due_ns"] = np.array(numbers) * 20 * MS + 1000 * MS
    rows["start_ns"] = rows["due_ns"]
    rows["end_ns"] = rows["start_ns"] + 2 * MS
    for name, values in columns.items():
        rows[name] = values
    return rows


def tally(rows: np.ndarray, passes: np.ndarray = NO_PASSES, parts: int = 1) -> Tally:
    made = Tally()
    halves = (np.array_split(each, parts) for each in (rows, passes))
    for part, some in zip(*halves, strict=True):
        made.add(part, some)
    return made


def test_missed_is_what_the_phase_grid_lacks() -> None:
    assert tally(ticks([0, 1, 2, 5, 6])).missed == 2
    assert tally(ticks([3, 4])).missed == 3
    assert tally(ticks([])).missed == 0


def test_the_rate_is_ticks_over_the_time_they_took() -> None:
    for numbers, rate in ((list(range(51)), 50.0), ([0, 2, 4], 25.0), ([1], 0.0)):
        assert report.rate(ticks(numbers)) == rate
        assert tally(ticks(numbers), parts=3).counts()["rate_hz"] == rate


def test_lateness_keeps_its_worst() -> None:
    rows = ticks(list(range(1000)))
    rows["start_ns"] += 50_000
    rows["start_ns"][500] += 7 * MS
    late = report.lateness(rows)
    assert (late.p50, late.max) == (50.0, 7050.0)
    assert late.p50 <= late.p99 <= late.p999 <= late.max


def test_feature_age_counts_only_ticks_that_saw_something() -> None:
    rows = ticks([0, 1, 2, 3], features_ns=[0, 1000 * MS, 1000 * MS, 1000 * MS])
    age = report.exact(rows, NO_PASSES).feature_age_ms
    assert (age.p50, age.max) == (40.0, 60.0)


def test_causes_name_why_the_robot_held() -> None:
    rows = ticks(
        [0, 1, 2],
        cause=[Cause.NONE, Cause.FEATURES_OLD, Cause.FEATURES_OLD],
        rung=[Rung.RUN, Rung.HOLD, Rung.HOLD],
    )
    found = tally(rows, parts=2).counts()
    assert found["causes"] == {"features_old": 2}
    assert found["stale"] == 2
    assert tally(ticks([0, 1], rung=[Rung.SCALE, Rung.HOLD])).counts()["scaled"] == 1


def test_every_stage_has_a_row_and_an_unpublished_pass_no_sequence() -> None:
    passes = np.zeros(3, row_dtype(PassRing.FIELDS))
    passes["sequence"] = [1, 0, 2]
    passes["captured_ns"] = np.array([1000, 1250, 1500]) * MS
    passes["backbone_ns"] = [5 * MS, 6 * MS, 7 * MS]
    table = report.exact(ticks([0, 1]), passes).stages_us
    assert list(table) == [*report.PASS_STAGES, *report.TICK_STAGES, "tick"]
    assert table["backbone"].p50 == 6000.0
    assert table["tick"].max == 2000.0
    counted = tally(ticks([0, 1]), passes, parts=3).counts()
    assert (counted["features_hz"], counted["backbone_passes"]) == (2.0, 3)


def test_an_empty_run_has_zeros_and_no_crash() -> None:
    found = tally(ticks([])).counts()
    assert found["stages_us"]["tick"].max == 0.0
    assert found["lateness_us"].max == found["feature_age_ms"].p50 == found["features_hz"] == 0.0
    assert report.exact(ticks([]), NO_PASSES).joint_age_ms.max == 0.0


@pytest.mark.parametrize("parts", [1, 2])
def test_joint_age_is_the_time_since_it_was_asked_for_or_since_it_last_came(parts: int) -> None:
    rows = ticks([0, 1, 2, 3], write_ns=[MS, MS, MS, MS])
    rows["joints_ns"] = rows["start_ns"] + 10
    rows["joints_ns"][2] = rows["start_ns"][0]
    age = report.exact(rows, NO_PASSES).joint_age_ms
    # 20 ms period, 2 ms tick of which the last is the write: 19 ms; then silent for 40 ms.
    assert (age.p50, age.max) == (19.0, 40.0)
    assert tally(rows, parts=parts).counts()["joint_age_ms"].max == 40.0


@pytest.mark.parametrize("parts", [1, 7])
def test_what_is_counted_is_what_the_rows_say(parts: int) -> None:
    seen = observed()
    counted = tally(seen.ticks, seen.passes, parts).counts()
    exact = report.exact(seen.ticks, seen.passes)
    assert counted["ticks"] == 200
    assert counted["missed"] == 1
    for name, spread in exact.stages_us.items():
        ours = counted["stages_us"][name]
        assert ours.max == spread.max
        assert spread.p50 <= ours.p50 <= spread.p50 * 1.01
        assert spread.p99 <= ours.p99 <= spread.p99 * 1.01
    for name in ("lateness_us", "feature_age_ms", "joint_age_ms"):
        assert counted[name].max == getattr(exact, name).max
        assert counted[name].p50 == pytest.approx(getattr(exact, name).p50, rel=0.01)


def test_a_million_ticks_are_all_counted_and_take_no_more_room_than_a_thousand(
    tmp_path: Path,
) -> None:
    """The supervisor's way: a reader that keeps few rows, a tally that has counted every one."""
    TickRing.create(tmp_path / "ticks.ring", 512)
    reader = RingReader(tmp_path / "ticks.ring", keep=1000)
    made = Tally()
    row = {name: 0 for name, _ in TickRing.FIELDS} | {"sent": 29, "cause": int(Cause.JOINT_SILENT)}
    with TickRing.open_writer(tmp_path / "ticks.ring") as ring:
        for number in range(1250):
            ring.add(**(row | {"number": number, "start_ns": number * 20 * MS}))
            if number % 100 == 99 or number == 1249:
                made.add(reader.newest(reader.drain()), NO_PASSES)
    assert len(reader.rows()) <= 1000
    found = made.counts()
    assert (found["ticks"], found["missed"], found["rate_hz"]) == (1250, 0, 50.0)
    assert (found["joint_commands_sent"], found["causes"]) == (1250 * 29, {"joint_silent": 1250})
    block = ticks(list(range(1250, 1250 + 5000)))
    made.add(block, NO_PASSES)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(200):
        block["number"] += 5000
        made.add(block, NO_PASSES)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert made.counts()["missed"] == 0
    assert made.counts()["ticks"] == 1250 + 201 * 5000 > 1_000_000
    # A row that stays takes 108 bytes.
    assert grown < 20_000
