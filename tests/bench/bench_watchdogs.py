"""A killed host, family by family: `python -m tests.bench.bench_watchdogs [WATCHDOG_MS]`.

A process opens the emulated motors, enables them and drives a sine; it is killed (SIGKILL), and the
motors' own process tells when they are safe. Then another process brings them up, enables nothing,
and goes: they must not have moved. The bar: safe within the watchdog's time and one period, and not
re-enabled. `--json` and `--only FAMILY` as everywhere.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from neon_edge.clock import MonotonicClock
from neon_edge.config import RobotConfig
from neon_edge.sim import Simulation, start_sim, with_channels
from neon_edge.transport import open_robot
from tests.bench.judged import arguments, judged
from tests.transport.drive import TICK_NS, command
from tests.transport.families import WATCHED, robot_of

CLOCK = MonotonicClock()
ROOT = Path(__file__).parents[2]
LOOK_NS = 1_000_000
LONGEST_NS = 10_000_000_000
STILL_RAD = 2e-3
STILL_LOOKS = 60
"""A servo that has stopped within its own loop's settling looks the same for so long."""
SAFE = {
    "damiao": "limp",
    "robstride": "limp",
    "odrive": "limp",
    "moteus": "limp",
    "cia402": "limp",
    "dynamixel": "stands",
}
"""What each family's motors do once their watchdog has tripped, unless they are told otherwise."""


class Killed(NamedTuple):
    """What became of the motors."""

    safe_ms: float
    """From the kill; the last command was up to one period older."""
    state: str
    stayed: bool
    """Bring-up by another process neither enabled nor moved them."""


def kill_and_watch(family: str, watchdog_ms: int, folder: Path) -> Killed:
    """Kill a host that drives one family's motors."""
    config = robot_of(family, watchdog_ms=watchdog_ms)
    with start_sim(config, folder) as sim:
        host = _host(family, watchdog_ms, sim.channels["line"], "drive")
        _until_driven(sim, host)
        host.send_signal(signal.SIGKILL)
        killed_ns = CLOCK.now_ns()
        host.wait()
        safe_ns = _until_safe(sim, killed_ns, at_rest=SAFE[family] == "stands")
        state = _state(sim)
        CLOCK.sleep_until_ns(CLOCK.now_ns() + 300_000_000)
        before = sim.positions()
        again = _host(family, watchdog_ms, sim.channels["line"], "look")
        moved = 0.0
        while again.poll() is None:
            moved = max(moved, float(np.abs(sim.positions() - before).max()))
            CLOCK.sleep_until_ns(CLOCK.now_ns() + LOOK_NS)
        stayed = again.returncode == 0 and moved < 0.01 and "holds" not in sim.drives()
    return Killed((safe_ns - killed_ns) / 1e6, state, stayed)


def _host(family: str, watchdog_ms: int, channel: str, what: str) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "tests.bench.bench_watchdogs", "--host"]
    words += [family, str(watchdog_ms), channel, what]
    return subprocess.Popen(words, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"})


def _until_driven(sim: Simulation, host: subprocess.Popen[bytes]) -> None:
    while sim.received().min() < 40:
        if host.poll() is not None:
            raise RuntimeError(f"the host ended with {host.returncode}")
        CLOCK.sleep_until_ns(CLOCK.now_ns() + LOOK_NS)


def _until_safe(sim: Simulation, since_ns: int, *, at_rest: bool) -> int:
    """When no motor holds any more; `at_rest`, when those that hold have come to rest.

    Any motor comes to rest where its last goal was: that alone says nothing of its watchdog.
    """
    looks = [(since_ns, sim.positions())]
    while CLOCK.now_ns() - since_ns < LONGEST_NS:
        if "holds" not in sim.drives():
            return CLOCK.now_ns()
        looks.append((CLOCK.now_ns(), sim.positions()))
        late = [position for _, position in looks[-STILL_LOOKS:]]
        if at_rest and len(late) == STILL_LOOKS and np.ptp(late, axis=0).max() < STILL_RAD:
            return looks[-STILL_LOOKS][0]
        CLOCK.sleep_until_ns(CLOCK.now_ns() + LOOK_NS)
    raise RuntimeError("the motors never came to rest")


def _state(sim: Simulation) -> str:
    drives = set(sim.drives())
    return "stands" if "holds" in drives else "damps" if "damps" in drives else "limp"


def _drive(config: RobotConfig) -> None:
    with open_robot(config, CLOCK) as robot:
        pose = robot.enable()
        due_ns, tick = CLOCK.now_ns(), 0
        while True:
            robot.read()
            goal = pose + np.float32(0.5 * np.sin(2 * np.pi * 0.02 * tick))
            robot.write(command(config, goal))
            tick += 1
            due_ns += TICK_NS
            CLOCK.sleep_until_ns(due_ns)


def host(family: str, watchdog_ms: str, channel: str, what: str) -> None:
    """The process that is killed, or the one that only brings up."""
    config = with_channels(robot_of(family, watchdog_ms=int(watchdog_ms)), {"line": channel})
    if what == "drive":
        _drive(config)
    with open_robot(config, CLOCK):
        pass


def main() -> int:
    """The table; 1 where a family was late, or came back by itself."""
    parser = arguments(__doc__)
    parser.add_argument("watchdog_ms", nargs="?", type=int, default=100)
    parser.add_argument("--only", choices=WATCHED, help="one family")
    options = parser.parse_args()
    limit_ms = options.watchdog_ms + TICK_NS / 1e6
    table = [f"{'family':<12}{'watchdog ms':>12}{'safe after ms':>15}  {'state':<8}re-enabled"]
    figures, missed = {}, []
    for family in [options.only] if options.only else WATCHED:
        with tempfile.TemporaryDirectory() as folder:
            seen = kill_and_watch(family, options.watchdog_ms, Path(folder))
        figures[family] = seen._asdict()
        table.append(
            f"{family:<12}{options.watchdog_ms:>12}{seen.safe_ms:>15.0f}  {seen.state:<8}"
            f"{'no' if seen.stayed else 'YES'}"
        )
        if seen.safe_ms > limit_ms:
            missed.append(f"{family}: safe after {seen.safe_ms:.0f} ms, {limit_ms:g} allowed")
        if seen.state != SAFE[family]:
            missed.append(f"{family}: {seen.state}, not {SAFE[family]}")
        if not seen.stayed:
            missed.append(f"{family}: moved or re-enabled by another's bring-up")
    return judged(
        {"watchdog_ms": options.watchdog_ms, "rows": figures}, table, missed, options.json
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--host"]:
        host(*sys.argv[2:])
    else:
        raise SystemExit(main())
