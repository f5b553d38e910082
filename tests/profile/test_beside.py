"""Processes beside the loop: on the grid, out of phase, and in agreement with cyclictest."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neon_edge.clock import FakeClock, MonotonicClock
from neon_edge.profile.beside import BesideSpec, origin, running, wake_ups
from neon_edge.profile.probe import WakeRing
from neon_edge.runtime.child import Stop
from neon_edge.runtime.realtime import FIFO_PRIORITY
from neon_edge.telemetry.mapped import writer_pid
from neon_edge.telemetry.reader import RingReader
from neon_edge.telemetry.ring import TickRing
from tests.conftest import ROOT

MS = 1_000_000
PERIOD = 5 * MS


@given(st.lists(st.integers(0, 30 * MS), min_size=1, max_size=50))
def test_wake_ups_stay_on_the_grid_and_never_come_twice(stalls: list[int]) -> None:
    clock, stop = FakeClock(), Stop()
    origin_ns = clock.now_ns() + PERIOD
    last_ns = 0
    for stall, wake in zip(stalls, wake_ups(origin_ns, PERIOD, clock, stop), strict=False):
        assert (wake.due_ns - origin_ns) % PERIOD == 0
        assert wake.due_ns > last_ns
        assert wake.start_ns >= wake.due_ns
        last_ns = wake.due_ns
        clock.advance_ns(stall)


def test_a_stop_ends_them() -> None:
    stop = Stop()
    stop.request()
    assert list(wake_ups(0, PERIOD, FakeClock(), stop)) == []


def test_the_phase_is_taken_from_the_control_loops_first_tick(tmp_path: Path) -> None:
    TickRing.create(tmp_path / "ticks.ring")
    clock = MonotonicClock()
    due_ns = clock.now_ns() - 123_456_789
    with TickRing.open_writer(tmp_path / "ticks.ring") as ring:
        row = {name: 0 for name, _ in TickRing.FIELDS}
        ring.add(**(row | {"due_ns": due_ns}))
    spec = BesideSpec(200.0, "", 0.5, str(tmp_path / "ticks.ring"))
    first_ns = origin(spec, clock, Stop())
    assert first_ns is not None
    assert (first_ns - due_ns) % PERIOD == PERIOD // 2
    assert first_ns > clock.now_ns() - PERIOD


def test_without_a_tick_a_stop_is_enough(tmp_path: Path) -> None:
    TickRing.create(tmp_path / "ticks.ring")
    stop = Stop()
    stop.request()
    spec = BesideSpec(200.0, "", 0.5, str(tmp_path / "ticks.ring"))
    assert origin(spec, MonotonicClock(), stop) is None


PARENT = """
import sys
from pathlib import Path
from neon_edge.profile.beside import BesideSpec, running
from neon_edge.profile.probe import WakeRing

here = Path(sys.argv[1])
WakeRing.create(here / "wakes.ring")
with running("neon_edge.profile.probe", BesideSpec(100.0, str(here / "wakes.ring")), here):
    sys.stdin.read()
"""


def test_it_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdin=subprocess.PIPE, cwd=ROOT
    )
    clock = MonotonicClock()
    give_up_ns = clock.now_ns() + 30 * 10**9
    ring, probe = tmp_path / "wakes.ring", 0
    while not probe and clock.now_ns() < give_up_ns:
        clock.sleep_until_ns(clock.now_ns() + 20 * MS)
        probe = writer_pid(ring) if ring.exists() else 0
    assert probe
    parent.kill()
    parent.communicate()
    while Path(f"/proc/{probe}/exe").exists() and clock.now_ns() < give_up_ns:
        clock.sleep_until_ns(clock.now_ns() + 20 * MS)
    # What is left of it, if nobody has collected it, is a zombie and runs no program.
    assert not Path(f"/proc/{probe}/exe").exists()


def test_the_probe_measures_what_cyclictest_measures(tmp_path: Path) -> None:
    """Both at once, one priority and period: medians of one order of magnitude."""
    cyclictest = shutil.which("cyclictest")
    if cyclictest is None:
        pytest.skip("cyclictest is not installed (Debian: rt-tests)")
    WakeRing.create(tmp_path / "wakes.ring")
    reader = RingReader(tmp_path / "wakes.ring")
    spec = BesideSpec(1e9 / PERIOD, str(tmp_path / "wakes.ring"))
    clock = MonotonicClock()
    with running("neon_edge.profile.probe", spec, tmp_path):
        give_up_ns = clock.now_ns() + 30 * 10**9
        while not reader.drain() and clock.now_ns() < give_up_ns:
            clock.sleep_until_ns(clock.now_ns() + 10 * MS)
        theirs = subprocess.run(
            [cyclictest, "-m", "-q", "-t1", f"-p{FIFO_PRIORITY}", f"-i{PERIOD // 1000}", "-D3",
             "-h100000"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    if theirs.returncode != 0:
        pytest.skip(f"cyclictest does not run here: {theirs.stderr.strip()}")
    reader.drain()
    rows = reader.rows()
    ours = np.median(rows["start_ns"] - rows["due_ns"]) / 1e3
    counts = [(int(us), int(n)) for us, n in re.findall(r"^(\d{6}) (\d{6})$", theirs.stdout, re.M)]
    median = np.median(np.repeat(*zip(*counts, strict=True)))
    assert len(rows) > 100
    # A Python wake-up costs a few µs more than one in C.
    assert median / 10 <= ours <= 10 * (median + 5), f"{ours} µs here, {median} µs by cyclictest"
