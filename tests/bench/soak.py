"""A long run of the simulated robot: memory and open files of each of its processes, over time.

    python tests/bench/soak.py --seconds 1800 [--engines DIR] [--json]

Growth is the last sample minus the first one after `--settle` seconds. Exits 1 if the control
process grew by more than 1 MiB or any process has more files open at the end than after settling.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from neon_edge.clock import MonotonicClock

NAMES = {
    "neon_edge.runtime.control": "control",
    "neon_edge.runtime.backbone": "backbone",
    "neon_edge.sim.main": "motors",
}
SAMPLE_NS = 5_000_000_000
CLOCK = MonotonicClock()
Sample = dict[str, tuple[int, int]]
"""Process to resident KiB and open files."""


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
        try:
            status = Path(f"/proc/{pid}/status").read_text()
            files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        except OSError:
            continue
        resident = [line for line in status.splitlines() if line.startswith("VmRSS:")]
        if resident:
            seen[name] = (int(resident[0].split()[1]), files)
    return seen


def soak(options: argparse.Namespace) -> tuple[list[Sample], dict[str, object]]:
    """Run and watch; the samples after settling, and the run's own report."""
    command = [sys.executable, "-m", "neon_edge", "run", "--robot", options.robot, "--json"]
    command += ["--seconds", str(options.seconds)]
    command += ["--engines", options.engines] if options.engines else []
    run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    begun_ns = CLOCK.now_ns()
    samples: list[Sample] = []
    due_ns = begun_ns + round(options.settle * 1e9)
    end_ns = begun_ns + round((options.seconds - 3) * 1e9)
    while run.poll() is None and due_ns < end_ns:
        CLOCK.sleep_until_ns(due_ns)
        samples.append(sample(run.pid))
        due_ns += SAMPLE_NS
    out, _ = run.communicate()
    return samples, json.loads(out)


def main() -> None:
    """Print the table; judge it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800.0)
    parser.add_argument("--settle", type=float, default=60.0)
    parser.add_argument("--robot", default="sim")
    parser.add_argument("--engines")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    samples, report = soak(options)
    first, last = samples[0], samples[-1]
    rows = {
        name: {
            "first_kib": first[name][0],
            "last_kib": last[name][0],
            "most_kib": max(s[name][0] for s in samples if name in s),
            "growth_kib": last[name][0] - first[name][0],
            "files_first": first[name][1],
            "files_last": last[name][1],
        }
        for name in first
        if name in last
    }
    kept = ("ticks", "missed", "stale", "joint_commands_sent", "joint_commands_received")
    if options.json:
        print(json.dumps({"processes": rows, "run": {key: report[key] for key in kept}}))
    else:
        print(
            f"{report['board']}; {options.seconds:g} s, first sample after {options.settle:g} s\n"
        )
        print(f"{'process':<12}{'first KiB':>11}{'last KiB':>11}{'growth KiB':>12}{'files':>12}")
        for name, row in rows.items():
            files = f"{row['files_first']} → {row['files_last']}"
            print(
                f"{name:<12}{row['first_kib']:>11}{row['last_kib']:>11}"
                f"{row['growth_kib']:>12}{files:>12}"
            )
        print("\n" + " · ".join(f"{report[key]} {key}" for key in kept))
    leaks = any(row["files_last"] > row["files_first"] for row in rows.values())
    raise SystemExit(1 if leaks or rows["control"]["growth_kib"] > 1024 else 0)


if __name__ == "__main__":
    main()
