"""Before and after."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from neon_edge.errors import UsageWrong
from neon_edge.profile.compare import Before, compare, draw_comparison, percent, read_before
from neon_edge.runtime.report import Spread
from tests.profile.runs import observed, report, run_report


def test_ratios_are_after_over_before_and_small_ones_are_not_marked(tmp_path: Path) -> None:
    seen = observed()
    after = run_report(seen)
    tick = after.stages_us["tick"]
    slower = {"tick": Spread(tick.p50 * 2, tick.p99 / 1.02, tick.max)}
    path = tmp_path / "before.json"
    path.write_bytes(msgspec.json.encode(run_report(seen, stages_us=after.stages_us | slower)))
    text = draw_comparison(compare(read_before(path), after))
    line = next(line for line in text.splitlines() if line.startswith("tick "))
    assert line.split()[4] == "0.50▼"
    assert line.split()[-1] == "1.02"
    assert "not the same" not in text
    assert "worse" not in text
    heads = next(line for line in text.splitlines() if line.startswith("heads"))
    assert heads.split()[4] == "1.00"


def test_another_board_is_said_aloud_and_older_reports_can_be_read(tmp_path: Path) -> None:
    made = json.loads(msgspec.json.encode(report(observed())))
    del made["backbone_restarts"], made["rows_lost"]
    made["board"] = "another board"
    path = tmp_path / "before.json"
    path.write_text(json.dumps(made))
    text = draw_comparison(compare(read_before(path), run_report(observed())))
    assert "not the same board: another board before" in text


@pytest.mark.parametrize("content", [None, "", "{}", '{"robot": 3}', "not json"])
def test_what_is_no_report_is_refused_with_its_path(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "before.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageWrong) as refused:
        read_before(path)
    assert str(path) in refused.value.facts


def before(**changes: object) -> Before:
    """What `run_report` of the same rows says, with some of it changed."""
    made = msgspec.json.encode(run_report(observed(), **changes))
    return msgspec.json.decode(made, type=Before)


def test_the_same_run_is_not_worse_than_itself() -> None:
    found = compare(before(), run_report(observed()), 0.0)
    assert found.worse == []
    assert {change.ratio for change in found.changes} <= {1.0, None}
    assert "worse by more than 0 %: nothing" in draw_comparison(found)


def test_a_figure_is_worse_by_more_than_was_allowed_and_not_by_less() -> None:
    after = run_report(observed())
    tick = after.stages_us["tick"]
    faster = {"tick": Spread(tick.p50 / 1.2, tick.p99, tick.max)}
    was = before(stages_us=after.stages_us | faster, rate_hz=after.rate_hz * 1.2)
    found = compare(was, after, 10.0)
    assert [(change.row, change.figure) for change in found.worse] == [
        ("tick", "p50"), ("rate", "rate"),
    ]  # fmt: skip
    assert draw_comparison(found).splitlines()[-1] == "worse by more than 10 %: tick p50, rate rate"
    assert compare(was, after, 25.0).worse == []
    assert compare(was, after).worse == []
    better = before(rate_hz=after.rate_hz / 2, missed=after.missed + 5)
    assert compare(better, after, 0.0).worse == []


def test_a_few_microseconds_are_never_worse_and_a_missed_tick_always_is() -> None:
    after = run_report(observed())
    tiny = {"slot": Spread(1.0, 1.0, 1.0)}
    now = msgspec.structs.replace(
        after, stages_us=after.stages_us | {"slot": Spread(20.0, 20.0, 20.0)}
    )
    was = before(stages_us=after.stages_us | tiny, missed=0)
    assert [change.row for change in compare(was, now, 10.0).worse] == ["missed ticks"]


@pytest.mark.parametrize(("text", "value"), [("10%", 10.0), ("2.5", 2.5), ("0", 0.0), (None, None)])
def test_a_percentage_is_read(text: str | None, value: float | None) -> None:
    assert percent(text) == value


@pytest.mark.parametrize("text", ["", "%", "-3%", "ten", "10 %%", "nan"])
def test_what_is_no_percentage_is_refused(text: str) -> None:
    with pytest.raises(UsageWrong, match="not a percentage"):
        percent(text)
