"""Break `neon_edge/safety` in every small way there is, and see that a test notices each.

Each mutant (`mutants.py`) is one change in a copy of the folder; `tests/safety` runs on it in a
forked child: quick tests first, then properties, until the first failure. A mutant that no test
kills survives, and the exit code is 1. One that changes nothing that anyone could see stands in
`EQUIVALENT` with its reason; it is tried all the same, and a test that kills it faults that list.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ |= {"OPENBLAS_NUM_THREADS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}

# What every child needs and no mutant changes is loaded once, here. Nothing of `safety` may be.
import hypothesis.extra.numpy  # noqa: E402
import hypothesis.strategies  # noqa: E402
import pytest  # noqa: E402
from mutants import Mutant, enums_of, mutants_of  # noqa: E402

import neon_edge.config  # noqa: E402

FORK = multiprocessing.get_context("fork")
WORKERS = 2
CPU_S = 30
"""A mutant that takes longer hangs. CPU time, so that a busy machine kills none."""
HANGS_AFTER_S = 600.0
ADDRESS_SPACE = 4 << 30
"""Bytes. A mutant that allocates without end fails a test instead of the machine."""
OPTIONS = [
    "-x", "-q", "-p", "no:cacheprovider", "--assert=plain", "--tb=no", "-m", "not slow",
    "-p", "no:unraisableexception", "--ignore=tests/safety/test_mutation.py",
]  # fmt: skip

EQUIVALENT: dict[tuple[str, str, str], str] = {
    ("filter.py", "SafetyFilter.__init__", "1000000000.0  →  1000000001.0"): (
        "a billionth part of a ramp is less than float32 resolves"
    ),
    ("filter.py", "SafetyFilter.__init__", "1000000000.0  →  999999999.0"): (
        "a billionth part of a ramp is less than float32 resolves"
    ),
    (
        "filter.py",
        "SafetyFilter.filter",
        "stands.rung >= Rung.HOLD or setpoint is None  →  stands.rung >= Rung.HOLD",
    ): "without a setpoint the watch asks for a hold; mypy cannot know",
    ("motion.py", "MotionLimiter.__init__", "0  →  1  (4)"): "a full ring may begin anywhere",
    ("motion.py", "MotionLimiter.__init__", "0  →  -1  (4)"): "a full ring may begin anywhere",
    ("filter.py", "SafetyFilter._follow", "self._anchor  →  self._previous"): (
        "a joint that no head drives is at its anchor, or on its way inside from there"
    ),
    ("filter.py", "SafetyFilter._follow", "blend < 1.0  →  blend != 1.0"): "smooth is at most 1",
    ("filter.py", "SafetyFilter._follow", "scale < 1.0  →  scale != 1.0"): "faded is at most 1",
}
"""(file, function, change) → why nothing that anyone could see differs."""


FATES = ("killed", "equivalent", "survived", "wrongly called equivalent")


class Verdict(NamedTuple):
    """What became of a mutant: the test that killed it, or "" where none did."""

    file: str
    line: int
    function: str
    change: str
    killed_by: str
    equivalent: str
    """Why it is, from the list above; "" for all others."""

    @property
    def fate(self) -> str:
        """One of `FATES`."""
        if self.equivalent:
            return "wrongly called equivalent" if self.killed_by else "equivalent"
        return "killed" if self.killed_by else "survived"


class FirstFailure:
    """A pytest plugin: quick tests before properties, and the name of the first that fails."""

    def __init__(self) -> None:
        self.name = ""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Stable, so that everything else stays in the order of the files."""
        items.sort(key=lambda item: hasattr(getattr(item, "obj", None), "hypothesis"))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Of every phase of every test."""
        if report.failed:
            self.name = self.name or report.nodeid.removeprefix("tests/safety/")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A mutant that cannot even be imported."""
        if report.failed:
            self.name = self.name or "import"


def run_tests(package: Path, frozen: Path, tests: list[str], answer: Connection) -> None:
    """In a child: the frozen tests, with `neon_edge.safety` found under `package`."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    os.chdir(frozen)
    sys.dont_write_bytecode = True
    neon_edge.__path__.insert(0, str(package))
    hypothesis.settings.register_profile(
        "mutants", derandomize=True, database=None, deadline=None,
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    hypothesis.settings.load_profile("mutants")
    first = FirstFailure()
    code = pytest.main([*OPTIONS, *tests], plugins=[first])
    loaded = sys.modules.get("neon_edge.safety")
    if loaded is None or Path(str(loaded.__file__)).parent != package / "safety":
        answer.send("!the tests did not load the mutant")
    else:
        answer.send(first.name or ("" if code == 0 else f"!pytest ended with {code}"))


def freeze(frozen: Path) -> None:
    """Copy the folder and its tests as they are now, whatever somebody edits meanwhile."""
    for folder in ("neon_edge/safety", "tests/safety"):
        shutil.copytree(ROOT / folder, frozen / folder, ignore=shutil.ignore_patterns("__py*"))
    for file in ("pyproject.toml", "tests/conftest.py"):
        shutil.copy(ROOT / file, frozen / file)


def killer(mutant: Mutant | None, tests: list[str], frozen: Path) -> str:
    """The test that kills the mutant, or ""; None stands for the code as it is."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as made:
        package = Path(made).resolve()
        shutil.copytree(frozen / "neon_edge" / "safety", package / "safety")
        if mutant is not None:
            (package / "safety" / mutant.file).write_text(mutant.source, encoding="utf-8")
        receive, send = FORK.Pipe(duplex=False)
        child = FORK.Process(target=run_tests, args=(package, frozen, tests, send))
        child.start()
        send.close()
        try:
            answer = str(receive.recv()) if receive.poll(HANGS_AFTER_S) else "the time limit"
        except EOFError:
            answer = "the time limit, or a crash"
        child.kill()
        child.join()
    if answer.startswith("!"):
        raise RuntimeError(f"{answer[1:]}: {mutant and mutant.key}")
    return answer


def judged(tests: list[str], frozen: Path, mutant: Mutant) -> Verdict:
    """Try one mutant."""
    where = mutant.file, mutant.line, mutant.function, mutant.change
    return Verdict(*where, killer(mutant, tests, frozen), EQUIVALENT.get(mutant.key, ""))


def line_of(verdict: Verdict) -> str:
    """The table's line for one mutant."""
    why = {"survived": "SURVIVED", "equivalent": f"equivalent: {verdict.equivalent}"}
    fate = why.get(verdict.fate, f"killed by {verdict.killed_by}")
    place = f"{verdict.file}:{verdict.line}"
    return f"{place:<16} {verdict.function:<24} {verdict.change:<64} {fate}"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Every mutant of neon_edge/safety must die.")
    parser.add_argument("--sample", type=int, metavar="N", help="only N of them")
    parser.add_argument("--seed", type=int, help="draws the sample; without it, the commit does")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="those whose FILE:FUNCTION has it"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document, no table")
    parser.add_argument("--tests", nargs="+", default=["tests/safety"], metavar="PATH")
    return parser.parse_args()


def seed_of_commit() -> int:
    """A sample that every commit draws anew and that can be drawn again; 0 outside a repository."""
    told = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return int(told.stdout[:8], 16) if told.returncode == 0 else 0


def all_mutants(safety: Path) -> list[Mutant]:
    """In the order of the files."""
    paths = sorted(safety.glob("*.py"))
    enums = enums_of([ROOT / "neon_edge" / "types.py", *paths])
    return [mutant for path in paths for mutant in mutants_of(path, enums)]


def main() -> int:
    """0: every mutant dies. 1: one survives, or one called equivalent dies. 2: nothing is known."""
    chosen = arguments()
    seed = seed_of_commit() if chosen.seed is None else chosen.seed
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="safety-") as made:
        frozen = Path(made).resolve()
        freeze(frozen)
        mutants = all_mutants(frozen / "neon_edge" / "safety")
        if stale := EQUIVALENT.keys() - {mutant.key for mutant in mutants}:
            print(f"called equivalent, and not there: {sorted(stale)}", file=sys.stderr)
            return 2
        if failed := killer(None, chosen.tests, frozen):
            print(f"the tests fail on the code as it is: {failed}", file=sys.stderr)
            return 2
        mutants = [m for m in mutants if chosen.only in f"{m.file}:{m.function}"]
        if chosen.sample is not None and chosen.sample < len(mutants):
            mutants = random.Random(seed).sample(mutants, chosen.sample)
            print(f"{chosen.sample} mutants drawn by --seed {seed}", file=sys.stderr)
        verdicts = []
        with ProcessPoolExecutor(WORKERS, mp_context=FORK) as pool:
            for verdict in pool.map(partial(judged, chosen.tests, frozen), mutants):
                verdicts.append(verdict)
                if not chosen.json:
                    print(line_of(verdict), flush=True)
        if failed := killer(None, chosen.tests, frozen):
            print(f"the tests now fail without a mutant too: {failed}", file=sys.stderr)
            return 2
    counts = Counter(verdict.fate for verdict in verdicts)
    seconds = round(time.monotonic() - began)
    tally = {"seed": seed, "mutants": len(verdicts)} | {fate: counts[fate] for fate in FATES}
    if chosen.json:
        rows = [verdict._asdict() | {"fate": verdict.fate} for verdict in verdicts]
        print(json.dumps(tally | {"seconds": seconds, "verdicts": rows}))
    else:
        told = ", ".join(f"{count} {name}" for name, count in tally.items() if name != "seed")
        print(told, f"in {seconds} s")
    return int(counts["survived"] + counts["wrongly called equivalent"] > 0)


if __name__ == "__main__":
    sys.exit(main())
