"""A live robot to hurt: emulated motors, the whole product on them, and what its ticks said."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from neon_edge.config import Joint, RobotConfig, load_robot
from neon_edge.engine.manifest import read_manifest
from neon_edge.safety.watch import Cause
from neon_edge.sim.launch import start_sim, with_channels
from neon_edge.telemetry.mapped import writer_pid
from neon_edge.types import Rung
from tests.bench.strain import misses, scheduled_s, stolen_s
from tests.cli.live import CLOCK, Live, write_robot

CONTROL, BACKBONE = "neon_edge.runtime.control", "neon_edge.runtime.backbone"
TICK_MS = 20.0
SLACK_TICKS = 2
SAFETY: dict[str, Any] = {
    "features_scale_after_ms": 350.0,
    "features_hold_after_ms": 700.0,
    "hold_damp_after_s": 0.0,
    "ramp_s": 0.5,
}
"""A killed backbone is back after 0.8 s at the earliest: a threshold that notices, and that a busy
machine's passes do not reach. No hold ends in a damp."""
WAIST_WATCHDOG_MS = 200
Rows = npt.NDArray[np.void]


@dataclass
class Outcome:
    """One row of the table."""

    fault: str
    missed: int
    """Ticks that did not happen while the control process lived."""
    rung: str
    limit_ms: float | None
    """What the robot file allows from the cause to the rung; None where no rung is meant."""
    took_ms: float | None
    late_ticks: int
    """Ticks that began past the limit and were not yet on the rung."""
    recovery: str
    motors: str
    wrong: str = ""
    """Why this row is not as it must be; empty where it is."""
    arming: int = 0
    """Ticks that did not happen while motors were switched on: no fault's doing."""
    overran: int = 0
    """Of those missed, the ones behind a tick that took longer than a period."""
    kept_ms: float = 0.0
    """For so long the control process was kept from running: by other processes, or by a host."""

    @property
    def in_time(self) -> bool:
        """Within the limit and two ticks, by the clock."""
        if self.limit_ms is None or self.took_ms is None:
            return not self.wrong
        return self.took_ms <= self.limit_ms + SLACK_TICKS * TICK_MS

    @property
    def too_long(self) -> int:
        """Ticks missed because the loop itself took too long: what nobody else can have cost."""
        return max(0, self.overran - int(self.kept_ms / TICK_MS))

    def count(self, bed: Bed) -> Outcome:
        """What the ticks since the mark missed, and why."""
        self.missed, self.overran, self.kept_ms = bed.missed(), bed.overran(), bed.kept_ms()
        return self

    def add(self, other: Outcome) -> None:
        """The misses of another as well."""
        self.missed, self.arming = self.missed + other.missed, self.arming + other.arming
        self.overran, self.kept_ms = self.overran + other.overran, self.kept_ms + other.kept_ms


def _patient(joint: Joint) -> Joint:
    """A bus whose motors outlast a hold: their watchdogs are slower than the joint's own limit."""
    if joint.bus != "waist":
        return joint
    motor = msgspec.structs.replace(joint.motor, watchdog_ms=WAIST_WATCHDOG_MS)
    return msgspec.structs.replace(joint, motor=motor)


class Bed:
    """`neon-edge run` on motors that outlive it. `close` ends both."""

    def __init__(
        self, plans: Path, place: Path, *arguments: str, robot: RobotConfig | None = None
    ) -> None:
        place.mkdir(parents=True, exist_ok=True)
        self.place = place
        self.model_hash = int(read_manifest(plans).backbone.model_hash, 16)
        chosen = robot or load_robot("sim")
        safety = msgspec.structs.replace(chosen.safety, **SAFETY)
        joints = [_patient(joint) for joint in chosen.joints]
        self.robot = msgspec.structs.replace(chosen, safety=safety, joints=joints)
        self.body = start_sim(self.robot, place / "sim")
        file = place / "bed.toml"
        write_robot(file, with_channels(self.robot, self.body.channels))
        self.live = Live(plans, *arguments, robot=str(file))
        self._row = 0
        self._kept = (0, 0.0)

    def ready(self) -> None:
        """Return once it runs."""
        self.live.until_ticking()
        self.until_moving(60)
        self.mark()

    def mark(self) -> int:
        """Forget the ticks so far; gives the time."""
        rows = self.live.rows()
        self._row = int(rows["row"][-1]) if len(rows) else 0
        self._kept = self._kept_now()
        return CLOCK.now_ns()

    def _kept_now(self) -> tuple[int, float]:
        """The control process, and ms for which it was ready to run, or its host away."""
        pid = writer_pid(self.live.directory / "ticks.ring")
        try:
            _, waited_s = scheduled_s(pid)
        except OSError:
            waited_s = 0.0
        return pid, (waited_s + stolen_s()) * 1e3

    def kept_ms(self) -> float:
        """Since the mark; of a control process that has started since, from its start."""
        (before, before_ms), (now, now_ms) = self._kept, self._kept_now()
        return now_ms - before_ms if before == now else 0.0

    def overran(self) -> int:
        """Of the ticks missing since the mark, those behind one that took longer than a period."""
        return misses(self.rows())["overran"]

    def rows(self) -> Rows:
        """Ticks since the mark."""
        rows = self.live.rows()
        return rows[rows["row"] > self._row]

    def until_stood(self, rung: Rung, timeout_s: float = 20, cause: Cause | None = None) -> None:
        """Return once a tick since the mark has stood on `rung`, however short."""
        until_ns = CLOCK.now_ns() + round(timeout_s * 1e9)
        while not self._has_stood(rung, cause):
            if CLOCK.now_ns() > until_ns:
                raise AssertionError(f"never on {rung.name}")
            CLOCK.sleep_until_ns(CLOCK.now_ns() + 50_000_000)

    def _has_stood(self, rung: Rung, cause: Cause | None) -> bool:
        rows = self.rows()
        if cause is not None:
            rows = rows[rows["cause"] == cause]
        return bool((rows["rung"] == rung).any())

    def until_moving(self, timeout_s: float = 25) -> None:
        """Return once it moves again, if scaled: a busy machine's features are often that old."""
        until_ns = CLOCK.now_ns() + round(timeout_s * 1e9)
        while not (self.live.rows()[-1:]["rung"] <= Rung.SCALE).any():
            if CLOCK.now_ns() > until_ns:
                raise AssertionError("it does not move again")
            CLOCK.sleep_until_ns(CLOCK.now_ns() + 50_000_000)

    def missed(self) -> int:
        """Ticks missing since the mark; a control process that starts counts anew."""
        gaps = np.diff(self.rows()["number"]) - 1
        return int(gaps[gaps > 0].sum())

    def motors(self) -> str:
        """What the motors pull with now, counted."""
        counts = Counter(self.body.drives())
        return ", ".join(f"{count} {what}" for what, count in counts.most_common())

    def close(self) -> None:
        """End run and motors, however they stand."""
        self.live.destroy()
        self.body.stop()


def judged(
    bed: Bed, fault: str, rung: Rung, causes: set[Cause], limit_ms: float, origin: str | int
) -> Outcome:
    """When the ticks since the mark first stood on `rung` for one of `causes`.

    `origin` is a time, or the column of that tick that holds the time of what it was judged by.
    """
    rows = bed.rows()
    reached = (rows["rung"] == rung) & np.isin(rows["cause"], [int(cause) for cause in causes])
    outcome = Outcome(fault, bed.missed(), rung.name.lower(), limit_ms, None, 0, "", "")
    if not reached.any():
        outcome.wrong = f"never on {rung.name.lower()}"
        return outcome
    at = int(np.flatnonzero(reached)[0])
    since_ns = origin if isinstance(origin, int) else int(rows[origin][at])
    outcome.took_ms = (int(rows["start_ns"][at]) - since_ns) / 1e6
    past = rows["start_ns"][:at] > since_ns + round(limit_ms * 1e6)
    outcome.late_ticks = int(past.sum())
    if outcome.late_ticks > SLACK_TICKS:
        outcome.wrong = f"{outcome.late_ticks} ticks past its limit"
    return outcome


def recovered(bed: Bed, outcome: Outcome, how: str = "by itself") -> Outcome:
    """Wait for the top rung again; say how, and in which state the motors are then."""
    try:
        bed.until_moving()
    except AssertionError as never:
        outcome.wrong = outcome.wrong or str(never)
    outcome.recovery = how
    return settled(bed, outcome)


def settled(bed: Bed, outcome: Outcome) -> Outcome:
    """Count misses up to now and look at the motors."""
    if bed.live.run.poll() is None:
        outcome.count(bed)
    outcome.motors = bed.motors()
    return outcome
