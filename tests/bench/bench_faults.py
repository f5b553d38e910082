"""The fault table: every fault that a robot must survive, on a live one, and what followed.

    python tests/bench/bench_faults.py [--engines DIR] [--kills N] [--rows a,b] [--json]

Without --engines the tiny recipe's plans are built first. Exits 1 where a row is not as it must be:
a wrong rung, a rung later than its limit and two ticks, a missed tick, a recovery that does not
come.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from neon_edge.engine.manifest import read_manifest
from neon_edge.runtime.board import board
from tests.bench.fault_bed import Bed, Outcome
from tests.bench.fault_ends import (
    bus_off,
    full_disk,
    killed_backbone,
    killed_control,
    killed_supervisor,
    unplugged,
)
from tests.bench.fault_rows import GENTLE
from tests.bench.fault_world import CAMERA, camera_bed, wall_clock
from tests.conftest import ROOT

KILLS_A_RUN = 5
"""The supervisor waits longer before each restart: twenty in one run would take minutes."""


def build(place: Path) -> Path:
    """The tiny recipe's plans."""
    for command in (
        [str(ROOT / "scripts" / "make_checkpoint.py"), str(place / "checkpoint")],
        ["-m", "neon_edge", "build", "engines/qwen_omni_tiny",
         "--checkpoint", str(place / "checkpoint"), "--out", str(place / "built")],
    ):  # fmt: skip
        subprocess.run([sys.executable, *command], cwd=ROOT, check=True, capture_output=True)
    return place / "built" / "current"


def on(bed: Bed, row: Callable[[Bed], Outcome], fault: str) -> Outcome:
    """One row; what it could not even wait for is its mistake."""
    bed.mark()
    try:
        return row(bed)
    except Exception as failure:
        wrong = f"{type(failure).__name__}: {failure}"
        return Outcome(fault, bed.missed(), "", None, None, 0, "", bed.motors(), wrong)


def alone(
    plans: Path, place: Path, row: Callable[[Bed], Outcome], fault: str, *arguments: str
) -> Outcome:
    """One row on a run of its own."""
    bed = Bed(plans, place, *arguments)
    try:
        bed.ready()
        return on(bed, row, fault)
    finally:
        bed.close()


def repeated(make: Callable[[int, int], Outcome], kills: int, each: int) -> Outcome:
    """So many kills over as many runs as it takes; the worst time, all misses and mistakes."""
    total: Outcome | None = None
    for number, begun in enumerate(range(0, kills, each)):
        outcome = make(number, min(each, kills - begun))
        if total is not None:
            outcome.add(total)
            outcome.wrong = total.wrong or outcome.wrong
            outcome.took_ms = max((t for t in (total.took_ms, outcome.took_ms) if t), default=None)
            outcome.late_ticks = max(total.late_ticks, outcome.late_ticks)
        total = outcome
    assert total is not None
    return dataclasses.replace(total, fault=f"{total.fault} × {kills}")


def table(plans: Path, place: Path, kills: int, wanted: set[str]) -> Iterator[Outcome]:
    """Every row in turn."""

    def asked(name: str) -> bool:
        return not wanted or name in wanted

    if asked("backbone"):
        yield repeated(
            lambda n, k: alone(plans, place / f"backbone{n}", lambda b: killed_backbone(b, k),
                               "backbone killed"), kills, KILLS_A_RUN,
        )  # fmt: skip
    if asked("control"):
        yield repeated(
            lambda n, k: alone(plans, place / f"control{n}", lambda b: killed_control(b, k),
                               "control process killed"), kills, KILLS_A_RUN,
        )  # fmt: skip
    if asked("supervisor"):
        yield repeated(
            lambda n, _: alone(plans, place / f"supervisor{n}", killed_supervisor,
                               "supervisor killed"), kills, 1,
        )  # fmt: skip
    gentle = {name: row for name, row in GENTLE.items() if asked(name)}
    if gentle:
        bed = Bed(plans, place / "gentle")
        try:
            bed.ready()
            for name, row in gentle.items():
                yield on(bed, row, name)
        finally:
            bed.close()
    cameras = {name: row for name, row in CAMERA.items() if asked(name)}
    if cameras:
        with camera_bed(plans, place / "camera") as (bed, feed):
            for name, look in cameras.items():
                yield on(bed, lambda b, look=look: look(b, feed), name)
    for name, row in (("bus_off", bus_off), ("unplugged", unplugged)):
        if asked(name):
            yield alone(plans, place / name, row, name)
    if asked("full_disk"):
        where = place / "full_disk"
        yield alone(plans, where, full_disk, "full_disk", "--record", str(where / "run.mcap"))
    if asked("wall_clock"):
        yield wall_clock(plans, place / "wall_clock")


def draw(outcome: Outcome) -> None:
    """One line."""
    took = "" if outcome.took_ms is None else f"{outcome.took_ms:.0f}"
    limit = "" if outcome.limit_ms is None else f"{outcome.limit_ms:.0f}"
    verdict = outcome.wrong or ("ok" if outcome.in_time and not outcome.missed else "MISSED")
    print(
        f"{outcome.fault:<44}{outcome.missed:>7}{outcome.arming:>8}  {outcome.rung:<10}"
        f"{took:>7}{limit:>7}  {outcome.recovery:<42}{outcome.motors:<22}{verdict}",
        flush=True,
    )


def main() -> None:
    """Print the table; exit 1 where a row is not as it must be."""
    parser = argparse.ArgumentParser(description="Every fault, on a live robot.")
    parser.add_argument("--engines", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--rows", default="", help="only these, by name")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    wanted = {name for name in chosen.rows.split(",") if name}
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        plans = chosen.engines or build(place)
        outcomes = []
        if not chosen.json:
            print(f"{board(read_manifest(plans))} · load {os.getloadavg()[0]:.1f}\n")
            print(
                f"{'fault':<44}{'missed':>7}{'arming':>8}  {'rung':<10}{'ms':>7}{'limit':>7}  "
                f"{'recovery':<42}{'motors then':<22}"
            )
        for outcome in table(plans, place, chosen.kills, wanted):
            outcomes.append(outcome)
            if not chosen.json:
                draw(outcome)
    if chosen.json:
        print(json.dumps([dataclasses.asdict(outcome) for outcome in outcomes]))
    kept = all(not o.wrong and not o.missed and o.in_time for o in outcomes)
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
