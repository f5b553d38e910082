"""A recorded minute with faults, replayed: how many commands differ.

    python tests/bench/bench_replay.py [--seconds N] [--engines DIR] [--faults a,b] [--json]

The simulated robot runs and records; every fault of the table that a run survives is done to it in
turn, its backbone and its control process are killed, and it is armed again where that takes a
person. Then `neon-edge replay`'s code runs on the recording. Exits 1 where a command differs, a row
was lost, or the recording is damaged. A busy machine changes what happens in the run, which is
told and is for `bench_faults.py` to judge, and not whether it comes out equal.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import msgspec

from neon_edge.engine.manifest import read_manifest
from neon_edge.runtime.board import board
from neon_edge.runtime.replay import replay
from tests.bench.bench_faults import build, on
from tests.bench.fault_bed import Bed, Outcome
from tests.bench.fault_ends import killed_backbone, killed_control
from tests.bench.fault_rows import GENTLE, Row
from tests.cli.live import CLOCK, wait_s

FAULTS: dict[str, Row] = {
    **GENTLE,
    "backbone": lambda bed: killed_backbone(bed, 1),
    "control": lambda bed: killed_control(bed, 1),
}


def record(
    plans: Path, place: Path, seconds: float, wanted: list[str]
) -> tuple[Path, list[Outcome], dict[str, Any], float]:
    """Run, hurt and record; the recording, the faults, the run's report, and how long it was."""
    path = place / "run.mcap"
    bed = Bed(plans, place, "--record", str(path))
    try:
        bed.ready()
        begun_ns = CLOCK.now_ns()
        outcomes = list(_hurt(bed, wanted))
        wait_s(max(0.0, seconds - (CLOCK.now_ns() - begun_ns) / 1e9))
        took_s = (CLOCK.now_ns() - begun_ns) / 1e9
        bed.live.run.terminate()
        code, out, said = bed.live.end()
        if code != 0:
            raise AssertionError(f"the run ended with exit code {code}: {said[-1500:]}")
        return path, outcomes, json.loads(out), took_s
    finally:
        bed.close()


def _hurt(bed: Bed, wanted: list[str]) -> Iterator[Outcome]:
    for name in wanted:
        yield on(bed, FAULTS[name], name)


def main() -> None:
    """Record, replay, print; exit 1 where they differ."""
    parser = argparse.ArgumentParser(description="A recorded minute with faults, replayed.")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the recording, at least")
    parser.add_argument("--engines", type=Path)
    parser.add_argument("--faults", default=",".join(FAULTS), help="only these, by name")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        plans = chosen.engines or build(place)
        wanted = [name for name in chosen.faults.split(",") if name]
        path, outcomes, run, seconds = record(plans, place / "bed", chosen.seconds, wanted)
        replayed = replay(path)
        megabytes = path.stat().st_size / 1e6
        machine = board(read_manifest(plans))
    unlike = [f"{outcome.fault}: {outcome.wrong}" for outcome in outcomes if outcome.wrong]
    told = {
        "seconds": round(seconds, 1),
        "megabytes": round(megabytes, 1),
        "faults": [outcome.fault for outcome in outcomes],
        "not_as_they_must_be": unlike,
        "rows_lost": run["rows_lost"],
        "causes": run["causes"],
        "replay": msgspec.to_builtins(replayed),
    }
    if chosen.json:
        print(json.dumps(told))
    else:
        print(f"{machine} · load {os.getloadavg()[0]:.1f}\n")
        print(f"recorded  {seconds:.0f} s, {megabytes:.1f} MB, {run['rows_lost']} rows lost")
        print(f"faults    {len(told['faults'])}: {', '.join(told['faults'])}")
        for line in unlike:
            print(f"          not as it must be: {line}")
        print(
            f"causes    {', '.join(f'{count} {cause}' for cause, count in run['causes'].items())}"
        )
        print(
            f"replayed  {replayed.ticks} ticks, {replayed.features} features, "
            f"{replayed.processes} control processes"
        )
        print(f"          {replayed.differing} commands differ")
        if replayed.first is not None:
            print(f"          first: {replayed.first}")
    bad = replayed.differing or run["rows_lost"] or replayed.cut_short or not outcomes
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
