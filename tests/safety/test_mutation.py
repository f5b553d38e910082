"""The mutator finds what it should, says so, and a sample of its mutants all die."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"


def mutate(*words: str) -> tuple[int, dict[str, Any]]:
    script = [sys.executable, str(SCRIPTS / "mutate_safety.py"), "--json", *words]
    done = subprocess.run(script, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode in {0, 1}, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.slow
def test_a_sample_of_mutants_all_die() -> None:
    """Forty that the commit draws: over time all of them, and the same again for who looks."""
    code, found = mutate("--sample", "40")
    alive = [v for v in found["verdicts"] if v["fate"] not in {"killed", "equivalent"}]
    assert alive == [], f"scripts/mutate_safety.py --sample 40 --seed {found['seed']}"
    assert code == 0
    assert found["killed"] >= 35


@pytest.mark.slow
def test_a_mutant_that_no_test_looks_at_survives_and_fails_the_run() -> None:
    blind = "tests/safety/test_ladder_alone.py"
    code, found = mutate("--only", "limits.py", "--sample", "3", "--seed", "7", "--tests", blind)
    assert (code, found["mutants"], found["survived"], found["seed"]) == (1, 3, 3, 7)


def test_another_commit_draws_another_sample_and_the_same_one_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import mutate_safety

    monkeypatch.setattr(mutate_safety, "ROOT", tmp_path)
    assert mutate_safety.seed_of_commit() == 0
    git = ["git", "-c", "user.name=n", "-c", "user.email=e", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    seeds = []
    for subject in ("one", "two"):
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", subject], check=True)
        seeds += [mutate_safety.seed_of_commit(), mutate_safety.seed_of_commit()]
    assert seeds[0] == seeds[1] != seeds[2] == seeds[3]


Changes = Callable[[str], set[str]]


@pytest.fixture
def changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Changes:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from mutants import mutants_of

    def of(source: str) -> set[str]:
        (tmp_path / "one.py").write_text(source, encoding="utf-8")
        made = mutants_of(tmp_path / "one.py", {"Rung": ["RUN", "HOLD", "OFF"]})
        assert len({mutant.source for mutant in made}) == len(made)
        return {mutant.change for mutant in made}

    return of


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b", {"a < b  →  a <= b", "a < b  →  a >= b", "a < b  →  a != b"}),
        ("a and b", {"a and b  →  a or b", "a and b  →  a", "a and b  →  b"}),
        ("not a", {"not a  →  a"}),
        ("True", {"True  →  False"}),
        ("3", {"3  →  4", "3  →  2", "3  →  6"}),
        ("a - b", {"a - b  →  a + b", "a - b  →  a * b"}),
        ("min(a, b)", {"min  →  max", "min(a, b)  →  pass"}),
        ("f(a, b)", {"f(a, b)  →  f(b, a)", "f(a, b)  →  pass"}),
        ("f(a, out=b)", {"f(a, out=b)  →  f(a)", "f(a, out=b)  →  pass"}),
        ("Rung.RUN", {"Rung.RUN  →  Rung.HOLD", "Rung.RUN  →  Rung.OFF"}),
        ("a[:] = b", {"a[:] = b  →  pass", "a[:]  →  a"}),
        ("a[b] = c", {"a[b] = c  →  pass", "a[b]  →  a[:]"}),
        ("a -= b", {f"a -= b  →  {a}" for a in ("pass", "a += b", "a *= b", "a = b")}),
        ("def f(a: int = b) -> 3:\n    'text'", set()),
        (
            "def f():\n    if a:\n        return b\n    return c",
            {
                "if a:  →  if not a:", "if a:  →  if True:", "if a:  →  if False:",
                "return b  →  pass", "return b  →  return c",
                "return c  →  pass", "return c  →  return b",
            },
        ),
    ],
)  # fmt: skip
def test_a_line_has_these_mutants(changes: Changes, source: str, expected: set[str]) -> None:
    assert changes(source) == expected
