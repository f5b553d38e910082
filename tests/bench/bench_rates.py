"""The highest rate that the simulated robot holds under load, and lateness against cyclictest.

    python tests/bench/bench_rates.py [--seconds N] [--long N] [--rates 50,100] [--keep FILE]
                                      [--again N] [--json]

29 joints on five buses, an mlp head, the whole product (`neon-edge profile`). The load: the
backbone flat out (a new picture every 4 ms) and two processes that never rest. cyclictest (Debian:
rt-tests) runs through the same seconds at the same priority and period; so does profile's probe.

The emulated motors are a process on the same cores, SCHED_FIFO below the loop's priority where
that may be had: a real robot has its motors elsewhere. A miss is told apart (`strain.py`):
`overran`, the tick before it took longer than a period; `late`, nobody woke us. Beside them stand
what the host of a virtual machine kept from our cores, and the share of a core that real-time work
took in its busiest second, which throttles nothing below what the kernel allows.

--keep FILE holds finished rows, so that a run that was interrupted goes on where it stopped;
--again N measures a row that missed up to N times more and shows every try. All tries are judged:
a rate that missed in one of them is not held. Without cyclictest nothing is measured and the exit
code is 69, unless --no-cyclictest says that lateness need not be judged.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))

from neon_edge.runtime.realtime import FIFO_PRIORITY
from tests.bench.load import ROOT, Cyclictest, busy, have_cyclictest, quick_clip, robot_at
from tests.bench.strain import Strain

RATES = (50, 100, 200, 500, 1000)
BAR = 2.0
"""Lateness p99.9 over cyclictest's worst, at 50 Hz."""
BUSY = 2
START_S = 60.0


def measure(rate_hz: int, seconds: float, directory: Path, engines: str | None) -> dict[str, Any]:
    """One run of the product under load; its figures, and cyclictest's of the same seconds."""
    robot = directory / f"sim_{rate_hz}.toml"
    robot_at(rate_hz, directory / "quick.mp4", robot)
    command = [sys.executable, "-m", "neon_edge", "profile", "--robot", str(robot), "-q", "--json"]
    command += ["--seconds", str(seconds), *(["--engines", engines] if engines else [])]
    run = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    cyclictest = strain = None
    running = until_running(run)
    if running is not None:
        strain = Strain(running, run.pid)
        strain.start()
        if have_cyclictest():
            cyclictest = Cyclictest(FIFO_PRIORITY, 1_000_000 // rate_hz, seconds)
    out, err = run.communicate()
    seen = strain.finish() if strain is not None else {}
    theirs = cyclictest.result() if cyclictest is not None else None
    if run.returncode not in (0, 1):
        return {"rate_hz": rate_hz, "failed": err.strip().splitlines()[-3:]}
    report = json.loads(out)
    return {
        "rate_hz": rate_hz,
        "seconds": seconds,
        "ticks": report["ticks"],
        "missed": report["missed"],
        "held": report["stale"],
        "lateness_us": report["lateness_us"],
        "probe_us": report["probe_us"],
        "cyclictest_us": theirs,
        "tick_us": report["stages_us"]["tick"],
        "features_hz": report["features_hz"],
        "real_time": report["real_time"],
        "board": report["board"],
        "load": os.getloadavg()[0],
    } | seen


def until_running(run: subprocess.Popen[str]) -> Path | None:
    """Wait until the control process says that it ticks; its run's directory, None if never."""
    give_up = time.monotonic() + START_S
    while run.poll() is None and time.monotonic() < give_up:
        for note in Path("/dev/shm").glob(f"neon-edge-{run.pid}-*/control.json"):
            if '"running"' in note.read_text(encoding="utf-8"):
                return note.parent
        time.sleep(0.02)
    return None


def measured(
    chosen: argparse.Namespace, rates: list[int], directory: Path
) -> Iterator[dict[str, Any]]:
    """Every row: those that are kept already, and those that are measured now."""
    before = []
    if chosen.keep is not None and chosen.keep.exists():
        before = [json.loads(line) for line in chosen.keep.read_text().splitlines()]
    for rate in rates:
        seconds = chosen.long if rate == rates[0] else chosen.seconds
        tries = [r for r in before if r["rate_hz"] == rate and r.get("seconds") == seconds]
        yield from tries
        while not tries or (tries[-1].get("missed") != 0 and len(tries) <= chosen.again):
            tries.append(measure(rate, seconds, directory, chosen.engines))
            if chosen.keep is not None and "failed" not in tries[-1]:
                with chosen.keep.open("a") as file:
                    file.write(json.dumps(tries[-1]) + "\n")
            yield tries[-1]


def draw(rows: list[dict[str, Any]]) -> None:
    """The table, µs."""
    ran = next((row for row in rows if "board" in row), None)
    if ran is not None:
        print(f"{ran['board']} · {', '.join(ran['real_time'])}")
    print(f"load: backbone flat out, {BUSY} busy processes, emulated motors on the same cores\n")
    print(
        f"{'Hz':>5}{'s':>6}{'ticks':>8}{'missed':>8}{'overran':>9}{'late':>6}{'held':>7}"
        f"{'lateness p50':>14}{'p99.9':>9}{'worst':>9}{'cyclictest':>12}{'probe':>9}"
        f"{'tick p99':>10}{'features':>11}{'stolen ms':>11}{'RT share':>10}{'load':>7}"
    )
    for row in rows:
        if "failed" in row:
            print(f"{row['rate_hz']:>5}  failed: {' '.join(row['failed'])}")
            continue
        late, theirs = row["lateness_us"], row["cyclictest_us"]
        worst = f"{theirs['max']:>12.0f}" if theirs else f"{'-':>12}"
        print(
            f"{row['rate_hz']:>5}{row['seconds']:>6g}{row['ticks']:>8}{row['missed']:>8}"
            f"{row.get('overran', '-'):>9}{row.get('woken_late', '-'):>6}{row['held']:>7}"
            f"{late['p50']:>14.0f}{late['p999']:>9.0f}{late['max']:>9.0f}{worst}"
            f"{row['probe_us']['max']:>9.0f}{row['tick_us']['p99']:>10.0f}"
            f"{row['features_hz']:>8.1f} Hz{row.get('stolen_ms', 0.0):>11.0f}"
            f"{row.get('rt_share', 0.0):>10.2f}{row['load']:>7.2f}"
        )
    allowed = min((row["rt_allowed"] for row in rows if "rt_allowed" in row), default=1.0)
    print(
        "\nµs; cyclictest and probe are their worst in the same seconds; real-time work is "
        f"throttled where its share of a core passes {allowed:g}"
    )


class Verdict(NamedTuple):
    """What all rows amount to."""

    highest_hz: int
    """The highest rate that missed nothing in any try; 0 for none."""
    ratio: float | None
    """p99.9 over cyclictest's worst at the lowest rate, of its worst try; None where one lacks."""
    kept: bool


def verdict(rows: list[dict[str, Any]], without_cyclictest: bool = False) -> Verdict:
    """Every try counts, failed ones included."""
    lowest = min(row["rate_hz"] for row in rows)
    missed = {row["rate_hz"] for row in rows if row.get("missed") != 0}
    held = {row["rate_hz"] for row in rows} - missed
    ratios = [_ratio(row) for row in rows if row["rate_hz"] == lowest]
    known = [ratio for ratio in ratios if ratio is not None]
    ratio = max(known) if known and len(known) == len(ratios) else None
    late = (ratio is None and not without_cyclictest) or (ratio is not None and ratio > BAR)
    return Verdict(max(held, default=0), ratio, lowest in held and not late)


def _ratio(row: dict[str, Any]) -> float | None:
    theirs = row.get("cyclictest_us")
    return row["lateness_us"]["p999"] / theirs["max"] if theirs else None


def main() -> None:
    """Measure every rate in turn, print, exit 1 where the lowest misses or is too late."""
    parser = argparse.ArgumentParser(description="Rates held and lateness, under load.")
    parser.add_argument("--seconds", type=float, default=60.0, help="of every rate but the lowest")
    parser.add_argument("--long", type=float, default=600.0, help="seconds of the lowest rate")
    parser.add_argument("--rates", default=",".join(map(str, RATES)))
    parser.add_argument("--engines", help="plans to use; the simulated robot's own otherwise")
    parser.add_argument("--keep", type=Path, help="finished rows, a line each: go on behind them")
    parser.add_argument("--again", type=int, default=0, help="tries more of a row that missed")
    parser.add_argument("--no-cyclictest", action="store_true", help="judge misses alone")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    if not (chosen.no_cyclictest or have_cyclictest()):
        print(
            "lateness cannot be judged\n  facts  cyclictest is not installed\n"
            "  fix    install it (Debian: rt-tests), or judge misses alone: --no-cyclictest",
            file=sys.stderr,
        )
        sys.exit(69)
    rates = sorted(int(rate) for rate in chosen.rates.split(","))
    with ExitStack() as opened:
        directory = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        quick_clip(directory / "quick.mp4")
        opened.enter_context(busy(BUSY))
        rows = list(measured(chosen, rates, directory))
    found = verdict(rows, chosen.no_cyclictest)
    if chosen.json:
        told = {"highest_hz": found.highest_hz, "p999_over_cyclictest": found.ratio}
        print(json.dumps({"rows": rows, **told}))
    else:
        draw(rows)
        against = "not judged" if found.ratio is None else f"{found.ratio:.2f}"
        print(f"highest rate with 0 missed in every try: {found.highest_hz} Hz")
        print(f"lateness p99.9 ÷ cyclictest's worst, {rates[0]} Hz: {against} (bar {BAR:g})")
    sys.exit(0 if found.kept else 1)


if __name__ == "__main__":
    main()
