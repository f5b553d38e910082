"""Real time: what is asked of the kernel, what is said of refusals, who has it in a run."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from neon_edge.config import load_robot
from neon_edge.config.cores import Runtime
from neon_edge.runtime import realtime
from neon_edge.runtime.realtime import FIFO_PRIORITY, control_cpus, enter_real_time
from tests.cli.live import Live, wait_s, write_robot
from tests.conftest import neon_edge


class Kernel:
    """Grants what it is not told to refuse, and remembers what was asked."""

    def __init__(self, cores: int = 4, refuses: tuple[str, ...] = ()) -> None:
        self.cores = set(range(cores))
        self.refuses = refuses
        self.asked: list[tuple[object, ...]] = []

    def sched_getaffinity(self, _: int) -> set[int]:
        return self.cores

    def sched_setaffinity(self, _: int, cores: set[int]) -> None:
        self.asked.append(("cores", *sorted(cores)))
        if not cores <= self.cores:
            raise OSError(22, "Invalid argument")

    def sched_setscheduler(self, _: int, policy: int, param: os.sched_param) -> None:
        self.asked.append(("schedule", policy, param.sched_priority))
        if "schedule" in self.refuses:
            raise PermissionError(1, "Operation not permitted")

    def mlockall(self, flags: int) -> int:
        self.asked.append(("lock", flags))
        ctypes.set_errno(12)
        return -1 if "lock" in self.refuses else 0

    def prctl(self, *arguments: int) -> int:
        self.asked.append(("prctl", *arguments))
        return 0


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    made = Kernel()
    for name in ("sched_getaffinity", "sched_setaffinity", "sched_setscheduler"):
        monkeypatch.setattr(realtime.os, name, getattr(made, name))
    monkeypatch.setattr(realtime.ctypes, "CDLL", lambda *_, **__: made)
    interval = sys.getswitchinterval()
    yield made
    gc.enable()
    gc.unfreeze()
    sys.setswitchinterval(interval)


def test_all_that_is_granted_is_said_and_nothing_else(kernel: Kernel) -> None:
    outcome = enter_real_time()
    assert outcome.had == ["FIFO 50", "memory locked", "heap frozen"]
    assert outcome.warnings == []
    # MCL_CURRENT | MCL_FUTURE (sys/mman.h); no timer slack: FIFO threads have none.
    assert kernel.asked == [("schedule", os.SCHED_FIFO, FIFO_PRIORITY), ("lock", 3)]
    assert not gc.isenabled()
    assert sys.getswitchinterval() <= 5e-4


def test_a_refused_priority_falls_back_to_timer_slack_and_is_one_warning(kernel: Kernel) -> None:
    kernel.refuses = ("schedule",)
    outcome = enter_real_time()
    assert outcome.had == ["timer slack 1 ns", "memory locked", "heap frozen"]
    (warning,) = outcome.warnings
    assert warning.startswith("no real-time priority (Operation not permitted): add ")
    assert "LimitRTPRIO=" in warning
    # PR_SET_TIMERSLACK (linux/prctl.h)
    assert ("prctl", 29, 1, 0, 0, 0) in kernel.asked


def test_refused_memory_is_one_warning_with_its_fix(kernel: Kernel) -> None:
    kernel.refuses = ("lock",)
    outcome = enter_real_time()
    assert outcome.had == ["FIFO 50", "heap frozen"]
    (warning,) = outcome.warnings
    assert warning.startswith("memory is not locked (Cannot allocate memory): add ")
    assert "LimitMEMLOCK=infinity" in warning


def test_memory_is_left_alone_where_a_process_asks_for_that(kernel: Kernel) -> None:
    outcome = enter_real_time(lock=False)
    assert outcome.had == ["FIFO 50", "heap frozen"]
    assert outcome.warnings == []
    assert all(what != "lock" for what, *_ in kernel.asked)


@pytest.mark.parametrize(
    ("cores", "wanted", "kept"),
    [(4, "auto", {3}), (3, "auto", {2}), (2, "auto", set()), (1, "auto", set()),
     (4, "any", set()), (4, [1, 2], {1, 2})],
)  # fmt: skip
def test_control_keeps_to_its_cores_and_the_backbone_to_the_others(
    kernel: Kernel, cores: int, wanted: list[int] | str, kept: set[int]
) -> None:
    kernel.cores = set(range(cores))
    assert control_cpus(wanted) == kept  # type: ignore[arg-type]
    outcome = enter_real_time(wanted)  # type: ignore[arg-type]
    said = [what for what in outcome.had if what.startswith("core")]
    if not kept:
        assert (said, kernel.asked[0][0]) == ([], "schedule")
        return
    assert said == ["cores 1, 2" if len(kept) == 2 else f"core {max(kept)}"]
    assert kernel.asked[0] == ("cores", *sorted(kept))
    kernel.asked.clear()
    realtime.leave_to_control(wanted)  # type: ignore[arg-type]
    assert kernel.asked == [("cores", *sorted(kernel.cores - kept))]


def test_a_core_that_is_not_there_is_one_warning_and_the_rest_is_had(kernel: Kernel) -> None:
    outcome = enter_real_time([9])
    assert outcome.had == ["FIFO 50", "memory locked", "heap frozen"]
    (warning,) = outcome.warnings
    assert warning.startswith("the tick is not kept to core 9 (Invalid argument): ")
    assert "[runtime] cpus" in warning


def test_a_backbone_without_a_core_of_its_own_stays_where_it_is(kernel: Kernel) -> None:
    kernel.cores = {0}
    realtime.leave_to_control([0])
    assert kernel.asked == []


def fact(pid: int, key: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{key}:"))


@pytest.mark.slow
def test_only_the_control_process_of_a_run_is_in_real_time(plans: Path, tmp_path: Path) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core: none to keep")
    last = max(os.sched_getaffinity(0))
    robot = msgspec.structs.replace(load_robot("sim"), runtime=Runtime(cpus=[last]))
    live = Live(plans, robot=str(write_robot(tmp_path / "kept.toml", robot)))
    live.until_ticking()
    had = json.loads((live.directory / "control.json").read_text())["real_time"]
    control, backbone = (
        live.child(f"neon_edge.runtime.{name}") for name in ("control", "backbone")
    )
    assert f"core {last}" in had
    assert os.sched_getaffinity(control) == {last}
    assert last not in os.sched_getaffinity(backbone)
    if "memory locked" in had:
        assert int(fact(control, "VmLck").split()[0]) > 0
    if f"FIFO {FIFO_PRIORITY}" in had:
        assert os.sched_getscheduler(control) == os.SCHED_FIFO
        assert os.sched_getparam(control).sched_priority == FIFO_PRIORITY
    for other in (backbone, live.run.pid):
        assert fact(other, "VmLck") == "0 kB"
        assert os.sched_getscheduler(other) == os.SCHED_OTHER
    told = json.loads(
        neon_edge("status", "--socket", str(live.directory / "neon-edge.sock"), "--json").stdout
    )
    assert told["real_time"] == ", ".join(had)
    live.run.terminate()
    assert live.end()[0] == 0


@pytest.mark.slow
def test_what_could_not_be_had_is_said_while_it_runs(plans: Path, tmp_path: Path) -> None:
    robot = msgspec.structs.replace(load_robot("sim"), runtime=Runtime(cpus=[1000]))
    live = Live(plans, robot=str(write_robot(tmp_path / "absent.toml", robot)))
    live.until_ticking()
    wait_s(1)
    where = str(live.directory / "neon-edge.sock")
    told = json.loads(neon_edge("status", "--socket", where, "--json").stdout)
    assert "the tick is not kept to core 1000" in told["warnings"]
    assert "the tick is not kept to core 1000" in neon_edge("status", "--socket", where).stdout
    live.run.terminate()
    code, out, err = live.end()
    assert code == 0, err
    said = "supervisor: warning: the tick is not kept to core 1000"
    assert err.count(said) == 1
    # While it ran, that is ahead of the last line, which is the report's.
    assert err.index(said) < err.index(" ticks at ")
    assert any("core 1000" in warning for warning in json.loads(out)["warnings"])
