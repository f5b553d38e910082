"""Checks of the computer itself: real time, memory, clocks, power, disk."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from neon_edge.config.cores import Cpus
from neon_edge.runtime.doctor.check import Check, Machine, Outcome
from neon_edge.runtime.realtime import control_cpus
from neon_edge.runtime.rundir import place

DISK_FAILED_BYTES = 100 << 20
DISK_WARNING_BYTES = 2 << 30
SHARED_BYTES = 64 << 20
"""Rings and slot of a recorded run take about 10 MB."""

_TRY = (
    "import json; from neon_edge.runtime.realtime import enter_real_time as enter; "
    "had = enter(); print(json.dumps([had.had, had.warnings]))"
)


def real_time(machine: Machine) -> Iterator[Check]:
    """Tries the very calls that the control process makes, in a process of their own.

    Limits do not tell: with CONFIG_RT_GROUP_SCHED a kernel refuses whoever has no share of its
    control group's real-time budget (github.com/systemd/systemd/issues/27893).
    """
    told = machine.told(sys.executable, "-c", _TRY)
    if told is None:
        yield Check("real-time priority", "failed", "the attempt itself failed", "run it with -v")
        return
    had, refused = msgspec.json.decode(told, type=tuple[list[str], list[str]])
    for name, wanted, kind in (
        ("real-time priority", "FIFO", "priority"),
        ("locked memory", "memory locked", "memory"),
    ):
        got = next((what for what in had if what.startswith(wanted)), None)
        if got is not None:
            yield Check(name, "ok", got)
            continue
        why = next((what for what in refused if kind in what.partition(":")[0]), "refused: ")
        found, _, fix = why.partition(": ")
        yield Check(name, "warning", found, fix)


def kernel(machine: Machine) -> Iterator[Check]:
    """Whether the kernel is preemptible everywhere."""
    release = os.uname().release
    if machine.number("/sys/kernel/realtime") == 1:
        yield Check("kernel", "ok", f"{release}, PREEMPT_RT")
    else:
        yield Check("kernel", "ok", f"{release}, not PREEMPT_RT: rare wake-ups are late under load")


def cores(machine: Machine, cpus: Cpus) -> Iterator[Check]:
    """Whether the cores that a robot names exist, and whether others are kept off them."""
    place = "/sys/devices/system/cpu"
    online = _listed(machine.text(f"{place}/online"))
    isolated = _listed(machine.text(f"{place}/isolated"))
    wanted = control_cpus(cpus)
    named = ", ".join(map(str, sorted(wanted)))
    absent = sorted(wanted - online) if online else []
    if absent:
        yield Check(
            "cores",
            "failed",
            f"the robot file names {', '.join(map(str, absent))}; here are "
            f"{', '.join(map(str, sorted(online)))}",
            "correct [runtime] cpus in the robot file",
        )
    elif isolated and not (wanted and wanted <= isolated):
        kept = ", ".join(map(str, sorted(isolated)))
        yield Check(
            "cores",
            "warning",
            f"{kept} isolated (isolcpus), and the tick is on {named or 'any other'}",
            f"set [runtime] cpus = [{kept}] in the robot file, or isolate none",
        )
    elif not wanted:
        yield Check("cores", "ok", "the tick has none of its own")
    else:
        alone = "isolated" if isolated else "not isolated: other work may run there too"
        yield Check("cores", "ok", f"{named} for the tick, {alone}")


def _listed(text: str | None) -> set[int]:
    """Cores as the kernel lists them, such as 0-2,5."""
    found: set[int] = set()
    for part in filter(None, (text or "").split(",")):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def clocks(machine: Machine) -> Iterator[Check]:
    """A clock that ramps up looks like jitter to a loop that sleeps most of its time."""
    directory = machine.path("/sys/devices/system/cpu")
    found = sorted(directory.glob("cpu[0-9]*/cpufreq/scaling_governor"))
    governors = sorted({path.read_text(encoding="utf-8").strip() for path in found})
    if not governors:
        yield Check("CPU clocks", "ok", "no frequency scaling here")
    elif governors == ["performance"]:
        yield Check("CPU clocks", "ok", "governor performance")
    else:
        yield Check(
            "CPU clocks",
            "warning",
            f"governor {', '.join(governors)}: clocks ramp up while a tick waits",
            "sudo jetson_clocks on a Jetson; cpupower frequency-set -g performance elsewhere",
        )


def power(machine: Machine) -> Iterator[Check]:
    """The power mode, on boards that have modes."""
    told = machine.told("nvpmodel", "-q")
    if told is None:
        return
    mode = next((line for line in told.splitlines() if "Power Mode" in line), "unknown")
    name = mode.partition(":")[2].strip() or mode
    if "MAXN" in name:
        yield Check("power mode", "ok", name)
    else:
        yield Check(
            "power mode", "warning", f"{name}: clocks and cores are capped", "sudo nvpmodel -m 0"
        )


def disk(plans: Path | None) -> Iterator[Check]:
    """Room for plans and recordings, and for a run's own files in memory."""
    state = Path(os.environ.get("STATE_DIRECTORY", "").split(":")[0] or Path.cwd())
    for path in dict.fromkeys([state, *([plans] if plans else [])]):
        try:
            free = shutil.disk_usage(path).free
        except OSError as failure:
            yield Check(
                "disk",
                "failed",
                f"{path}: {failure.strerror}",
                "make that directory for the user that runs the robot, or correct STATE_DIRECTORY",
            )
            continue
        outcome: Outcome = "ok" if free >= DISK_WARNING_BYTES else "warning"
        if free < DISK_FAILED_BYTES:
            outcome = "failed"
        yield Check(
            "disk",
            outcome,
            f"{free / 2**30:.1f} GiB free at {path}",
            "" if outcome == "ok" else "make room: a recording takes about 100 kB a second",
        )
    shared = shutil.disk_usage(place()).free
    if shared >= SHARED_BYTES:
        yield Check("shared memory", "ok", f"{shared >> 20} MiB free at {place()}")
    else:
        yield Check(
            "shared memory",
            "failed",
            f"{shared >> 20} MiB free at {place()}",
            "in a container: --shm-size=256m; otherwise remove what is left there",
        )
