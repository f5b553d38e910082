"""What full-size quantisation takes is held to its bars, and the exit status says so."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    sys.path.insert(0, str(SCRIPTS))
    try:
        spec = importlib.util.spec_from_file_location("sizes", SCRIPTS / "size_quantised.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(SCRIPTS))
    return module


def row(plan: int = 105, gib: float = 5.9) -> dict[str, Any]:
    step = {"s": 1.0, "gib": 2.0, "load": 1.0, "cpu": 1.0}
    return {
        "steps": [{**step, "name": "quantise p", "gib": gib}, {**step, "name": "compile p"}],
        "linears": 7, "weights": 100, "int8": 0, "float": 200, "promised": 100, "plan": plan,
    }  # fmt: skip


def test_a_plan_that_is_too_large_or_a_step_too_hungry_is_missed(script: ModuleType) -> None:
    assert script.missed({"vision": row(), "decoder": row(110, 12.0)}) == []
    [large] = script.missed({"vision": row(), "decoder": row(plan=111)})
    assert "decoder is 1.110" in large
    [hungry] = script.missed({"vision": row(gib=12.1), "decoder": row()})
    assert "quantise p took 12.1 GiB" in hungry
    assert len(script.missed({"p": row(gib=float("nan"))})) == 1


@pytest.mark.parametrize(("plan", "status"), [(105, 0), (120, 1)])
def test_the_exit_status_says_whether_the_bars_are_kept(
    script: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    plan: int,
    status: int,
) -> None:
    recipe = SCRIPTS.parent / "engines" / "qwen_vl_tiny"
    (tmp_path / "qwen_vl_tiny-int4.json").write_text(json.dumps({"decoder": row(plan)}))
    monkeypatch.setattr(
        script, "exported", lambda *_: (None, type("W", (), {"bundle": None, "moments": None}))
    )
    monkeypatch.setattr(script, "host_feeds", lambda *_: [])
    part = type("P", (), {"name": "decoder"})
    monkeypatch.setattr(script, "part_feeds", lambda *_: [(part, [])])
    monkeypatch.setattr(sys, "argv", ["x", str(recipe), "--directory", str(tmp_path)])
    assert script.main() == status
    said = capsys.readouterr()
    assert "`decoder`" in said.out
    assert ("MISSED" in said.err) == bool(status)


@pytest.mark.parametrize(("status", "turns"), [(75, 3), (1, 1), (0, 1), (78, 1)])
def test_the_command_that_resumes_ends_on_an_error(
    script: ModuleType, tmp_path: Path, status: int, turns: int
) -> None:
    """The loop as the script's own text gives it, around a command that ends as it is told."""
    loop = next(line for line in script.__doc__.splitlines() if line.strip().startswith("until"))
    count = tmp_path / "count"
    stand_in = tmp_path / "command.sh"
    stand_in.write_text(
        f"echo turn >> {count}; [ $(wc -l < {count}) -lt {turns} ] && exit 75; exit {status % 75}"
    )
    command = loop[: loop.index("scripts/")] + f"sh {stand_in}; " + loop[loop.index("[ $?") :]
    subprocess.run(["bash", "-c", command], check=True, timeout=20)
    assert count.read_text().count("turn") == turns
