"""A long run of the simulated robot: memory, open files and CPU of each of its processes.

    python tests/bench/soak.py --seconds 1800 [--engines DIR] [--json]

Growth is the last sample minus the first one after `--settle` seconds. Exits 1 where a process grew
by more than `MOST_KIB` allows, has more files open at the end than after settling, was started
again, or is not there at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from neon_edge.clock import MonotonicClock

NAMES = {
    "neon_edge.runtime.control": "control",
    "neon_edge.runtime.backbone": "backbone",
    "neon_edge.sim.main": "motors",
}
MOST_KIB = {"control": 1024, "supervisor": 4096, "backbone": 4096, "motors": 4096}
"""Growth allowed: the tick allocates nothing that stays; the others fill buffers of fixed size
(rings, the newest rows, the log's last thousand events) during their first minutes."""
SAMPLE_NS = 5_000_000_000
ENDING_S = 3.0
"""Before the run's end no more samples are taken: its processes leave."""
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
CLOCK = MonotonicClock()


class Seen(NamedTuple):
    """One process at one time."""

    pid: int
    resident_kib: int
    files: int
    cpu_s: float


Sample = dict[str, Seen]


def children(parent: int) -> dict[str, int]:
    """The run's processes by name."""
    found = {"supervisor": parent}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            line = (entry / "cmdline").read_bytes().decode()
            status = (entry / "status").read_text()
        except OSError:
            continue
        if f"PPid:\t{parent}\n" in status:
            found |= {name: int(entry.name) for key, name in NAMES.items() if key in line}
    return found


def sample(parent: int) -> Sample:
    """One look at every process; one that has just ended is left out."""
    seen: Sample = {}
    for name, pid in children(parent).items():
        place = Path(f"/proc/{pid}")
        try:
            status = (place / "status").read_text()
            files = len(list((place / "fd").iterdir()))
            user, system = (place / "stat").read_text().rpartition(") ")[2].split()[11:13]
        except OSError:
            continue
        resident = [line for line in status.splitlines() if line.startswith("VmRSS:")]
        if resident:
            cpu_s = (int(user) + int(system)) / TICKS_A_SECOND
            seen[name] = Seen(pid, int(resident[0].split()[1]), files, cpu_s)
    return seen


def soak(options: argparse.Namespace) -> tuple[list[Sample], dict[str, Any]]:
    """Run and watch; the samples after settling, and the run's own report."""
    command = [sys.executable, "-m", "neon_edge", "run", "--robot", options.robot, "--json"]
    command += ["--seconds", str(options.seconds)]
    command += ["--engines", options.engines] if options.engines else []
    run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    begun_ns = CLOCK.now_ns()
    samples: list[Sample] = []
    due_ns = begun_ns + round(options.settle * 1e9)
    end_ns = begun_ns + round((options.seconds - ENDING_S) * 1e9)
    while run.poll() is None and due_ns < end_ns:
        CLOCK.sleep_until_ns(due_ns)
        samples.append(sample(run.pid))
        due_ns += SAMPLE_NS
    out, _ = run.communicate()
    return samples, json.loads(out)


def table(samples: list[Sample]) -> dict[str, dict[str, Any]]:
    """A row for every process that was ever seen; without figures where it has not stayed."""
    first, last = samples[0], samples[-1]
    rows: dict[str, dict[str, Any]] = {}
    seconds = (len(samples) - 1) * SAMPLE_NS / 1e9
    for name in dict.fromkeys([*MOST_KIB, *(each for s in samples for each in s)]):
        pids = {s[name].pid for s in samples if name in s}
        if name not in first or name not in last or len(pids) != 1:
            rows[name] = {"wrong": "it is not there from the first sample to the last"}
            continue
        one, other = first[name], last[name]
        rows[name] = {
            "first_kib": one.resident_kib,
            "last_kib": other.resident_kib,
            "most_kib": max(s[name].resident_kib for s in samples if name in s),
            "growth_kib": other.resident_kib - one.resident_kib,
            "allowed_kib": MOST_KIB.get(name, 0),
            "files_first": one.files,
            "files_last": other.files,
            "cpu_percent": round(100 * (other.cpu_s - one.cpu_s) / seconds, 1) if seconds else 0.0,
        }
        rows[name]["wrong"] = wrong(rows[name])
    return rows


def wrong(row: dict[str, Any]) -> str:
    """Why a process is not as it must be; empty where it is."""
    if row["growth_kib"] > row["allowed_kib"]:
        return f"grew by more than {row['allowed_kib']} KiB"
    return "leaves files open" if row["files_last"] > row["files_first"] else ""


def draw(rows: dict[str, dict[str, Any]]) -> None:
    """The table."""
    print(
        f"{'process':<12}{'first KiB':>11}{'last KiB':>11}{'growth KiB':>12}{'allowed':>9}"
        f"{'files':>12}{'CPU %':>8}"
    )
    for name, row in rows.items():
        if "first_kib" not in row:
            print(f"{name:<12}  {row['wrong']}")
            continue
        files = f"{row['files_first']} → {row['files_last']}"
        print(
            f"{name:<12}{row['first_kib']:>11}{row['last_kib']:>11}{row['growth_kib']:>12}"
            f"{row['allowed_kib']:>9}{files:>12}{row['cpu_percent']:>8}  {row['wrong'] or 'ok'}"
        )


def main() -> None:
    """Print the table; judge it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800.0)
    parser.add_argument("--settle", type=float, default=60.0)
    parser.add_argument("--robot", default="sim")
    parser.add_argument("--engines")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.seconds < options.settle + ENDING_S + SAMPLE_NS / 1e9:
        parser.error("--seconds leaves no room for two samples behind --settle")
    samples, report = soak(options)
    rows = table(samples)
    kept = ("ticks", "missed", "stale", "joint_commands_sent", "joint_commands_received")
    if options.json:
        print(json.dumps({"processes": rows, "run": {key: report[key] for key in kept}}))
    else:
        load = os.getloadavg()[0]
        print(
            f"{report['board']} · load {load:.1f}; {options.seconds:g} s, first sample after "
            f"{options.settle:g} s\n"
        )
        draw(rows)
        print("\n" + " · ".join(f"{report[key]} {key}" for key in kept))
    raise SystemExit(1 if any(row["wrong"] for row in rows.values()) else 0)


if __name__ == "__main__":
    main()
