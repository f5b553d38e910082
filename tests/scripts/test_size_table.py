"""The table of what building recipes takes: one row a recipe, kept across interruptions."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "size_table.py"


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    # As when it is run: what it imports lies beside it.
    sys.path.insert(0, str(SCRIPT.parent))
    spec = importlib.util.spec_from_file_location("size_table", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(SCRIPT.parent))


def facts(name: str, **more: Any) -> dict[str, Any]:
    steps = [
        {"name": "embedding table", "s": 10.0, "gib": 2.5, "load": 1.0},
        {"name": "export vision", "s": 20.0, "gib": 3.0, "load": 2.0},
        {"name": "export decoder_0_5", "s": 31.0, "gib": 5.25, "load": 4.0},
        {"name": "compile vision", "s": 7.0, "gib": 4.5, "load": 3.0},
        {"name": "compile decoder_0_5", "s": 5.0, "gib": 3.5, "load": 3.0},
    ]
    return {
        "recipe": name,
        "precision": "fp16",
        "parameters": 3_750_000_000,
        "tokens": 160,
        "bundle": 7_500_000_000,
        "plans": 6_900_000_000,
        "steps": steps,
        **more,
    }


def test_times_are_summed_and_peaks_are_the_highest(script: ModuleType) -> None:
    rows = script.table([facts("b"), facts("a")]).splitlines()
    assert [row.split("|")[1].strip() for row in rows[2:]] == ["`a`", "`b`"]
    for wanted in ("3.75 B", "160", "7.5 GB", "61 s", "5.2 GiB", "12 s", "4.5 GiB", "6.9 GB"):
        assert f"| {wanted} " in rows[2], wanted
    assert len({row.count("|") for row in rows}) == 1


def test_drawing_numbers_is_told_apart_and_is_no_loading(script: ModuleType) -> None:
    measured = facts("a")
    for step in measured["steps"][:3]:
        step["drawn"] = 5.0
    measured["steps"].append({"name": "export heads", "s": 2.0, "gib": 1.0, "load": 1.0})
    measured["steps"].append({"name": "verification samples", "s": 90.0, "gib": 4.0, "load": 1.0})
    row = script.table([measured]).splitlines()[2]
    assert "| 15 s | 48 s | 5.2 GiB | 12 s | 4.5 GiB | 60 s |" in row
    assert "| 90 s | 4.0 GiB | not run | not run |" in row


def test_details_are_a_row_a_step(script: ModuleType) -> None:
    measured = facts("b")
    measured["steps"][3] |= {"plan": 690_000_000, "cpu": 9.5}
    rows = script.details([measured, facts("a")]).splitlines()
    assert len(rows) == 2 + 10
    assert "| `a` | embedding table | 10.0 s | 0.0 s |" in rows[2]
    assert "| `b` | compile vision | 7.0 s | 0.0 s | 9.5 s | 4.50 GiB | 0.69 GB | 3 |" in rows[10]
    assert len({row.count("|") for row in rows}) == 1


def test_a_builds_own_steps_are_measured(
    script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    from neon_edge.build.ledger import Step
    from neon_edge.build.weights import RandomWeights

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(RandomWeights, "tensor", RandomWeights.tensor)
        script.count_drawing()
        measured = script.Measured()
        measured("export a recipe from random:0")
        measured(Step("embedding table", 1, 2))
        RandomWeights(0, {"table": (2000, 2000)}, "table").tensor("table")
        measured("LOST: nothing")
        measured(Step("export heads", 2, 2))
        measured.end()
        measured("verify")
        measured.end()
    table, heads, verify = measured.steps
    assert (table["name"], heads["name"], verify["name"]) == (
        "embedding table",
        "export heads",
        "verify",
    )
    assert 0 < table["drawn"] <= table["s"]
    assert heads["drawn"] == 0.0
    assert table["cpu"] > 0
    assert table["gib"] > 0.01


def test_the_error_at_full_depth_stands_in_its_columns(script: ModuleType) -> None:
    measured = facts("a", error={"cosine lost": 1.5e-6, "relative": 2.1e-3})
    rows = script.table([measured]).splitlines()
    assert "| 1.5e-06 | 2.1e-03 |" in rows[2]
    assert rows[2].count("|") == rows[0].count("|")


def test_what_was_measured_is_not_measured_again(
    script: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = SCRIPT.parents[1] / "engines" / "qwen_vl_tiny"
    (tmp_path / "qwen_vl_tiny.json").write_text(json.dumps(facts("qwen_vl_tiny")))
    asked: list[str] = []
    monkeypatch.setattr(script, "measure", lambda name, _: asked.append(name))
    monkeypatch.setattr(sys, "argv", ["size_table", str(recipe), "--directory", str(tmp_path)])
    assert script.main() == 0
    assert asked == []
    assert "`qwen_vl_tiny`" in capsys.readouterr().out
    (tmp_path / "qwen_vl_tiny.json").unlink()
    assert script.main() == 0
    assert asked == [str(recipe)]
