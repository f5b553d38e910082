"""Before and after."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from neon_edge.errors import UsageWrong
from neon_edge.profile.compare import draw_comparison, read_before
from neon_edge.runtime.report import Spread
from tests.profile.runs import observed, report, run_report


def test_ratios_are_after_over_before_and_small_ones_are_not_marked(tmp_path: Path) -> None:
    seen = observed()
    after = run_report(seen)
    tick = after.stages_us["tick"]
    slower = {"tick": Spread(tick.p50 * 2, tick.p99 / 1.02, tick.max)}
    path = tmp_path / "before.json"
    path.write_bytes(msgspec.json.encode(run_report(seen, stages_us=after.stages_us | slower)))
    text = draw_comparison(read_before(path), after)
    line = next(line for line in text.splitlines() if line.startswith("tick "))
    assert line.split()[4] == "0.50▼"
    assert line.split()[-1] == "1.02"
    assert "not the same" not in text
    heads = next(line for line in text.splitlines() if line.startswith("  heads"))
    assert heads.split()[4] == "1.00"


def test_another_board_is_said_aloud_and_older_reports_can_be_read(tmp_path: Path) -> None:
    made = json.loads(msgspec.json.encode(report(observed())))
    del made["backbone_restarts"], made["rows_lost"]
    made["board"] = "another board"
    path = tmp_path / "before.json"
    path.write_text(json.dumps(made))
    text = draw_comparison(read_before(path), run_report(observed()))
    assert "not the same board: another board before" in text


@pytest.mark.parametrize("content", [None, "", "{}", '{"robot": 3}', "not json"])
def test_what_is_no_report_is_refused_with_its_path(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "before.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageWrong) as refused:
        read_before(path)
    assert str(path) in refused.value.facts
