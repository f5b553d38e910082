"""What `profile` adds to a run's report: histograms, the machine's best, the heads' placements."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct

from neon_edge.config import RobotConfig
from neon_edge.profile.budget import Verdict, judge
from neon_edge.profile.compare import Before, Comparison, compare
from neon_edge.profile.histogram import Histogram, of_feature_age, of_lateness
from neon_edge.profile.observe import Observed
from neon_edge.profile.placements import MAX_RATE_HZ
from neon_edge.runtime.report import Lateness, RunReport, Spread, exact, lateness, spread
from neon_edge.telemetry.mapped import Rows
from neon_edge.types import Float64

ENOUGH = 20
"""Fewer inferences than this during backbone passes say nothing about them."""

GPU_MUST_WIN_BY = 1.25
"""On the CPU the control process holds no CUDA context, and cannot be hurt by one."""


class Placement(Struct, frozen=True):
    """The heads in one place: µs an inference while the backbone ran."""

    name: str
    tick_us: Spread | None = None
    new_features_us: Spread | None = None
    runs: int = 0
    beside_backbone: bool = False
    """True if only inferences that overlapped a backbone pass were counted."""
    why_not: str = ""


class BudgetLine(Struct, frozen=True):
    """One promise of the robot file, as measured."""

    row: str
    measured: float
    limit: float
    unit: str
    kept: bool


class ProfileReport(RunReport, frozen=True, kw_only=True):
    """A run's report with all that only `profile` measures."""

    rate_wanted_hz: float
    lateness_histogram: Histogram
    feature_age_histogram: Histogram
    probe_us: Lateness
    """Wake-up lateness of a process that does nothing else: the machine's best in this run."""
    probe_histogram: Histogram
    placements: list[Placement]
    recommendation: str
    budget: list[BudgetLine]
    against: Comparison | None = None
    """With an earlier run; null where none was named."""

    @property
    def kept(self) -> bool:
        """The budget was, and nothing is worse than was allowed."""
        worse = self.against is not None and self.against.worse
        return not worse and all(line.kept for line in self.budget)


def profile_report(report: RunReport, seen: Observed, robot: RobotConfig) -> ProfileReport:
    """Complete a run's report with what was observed beside it."""
    ticks = seen.ticks
    fed = ticks[ticks["features_ns"] > 0]
    placements = judged_placements(seen, robot.rate_hz)
    # Every row is here, so that nothing need be counted in bins.
    whole = msgspec.structs.asdict(exact(ticks, seen.passes))
    report = msgspec.structs.replace(report, **whole)
    return ProfileReport(
        **msgspec.structs.asdict(report),
        rate_wanted_hz=robot.rate_hz,
        lateness_histogram=of_lateness(late_us(ticks)),
        feature_age_histogram=of_feature_age((fed["start_ns"] - fed["features_ns"]) / 1e6),
        probe_us=lateness(seen.wakes),
        probe_histogram=of_lateness(late_us(seen.wakes)),
        placements=placements,
        recommendation=recommend(placements, robot.rate_hz),
        budget=[budget_line(verdict) for verdict in judge(report, robot.budget)],
    )


def compared(report: ProfileReport, before: Before, allowed_percent: float | None) -> ProfileReport:
    """The same, beside an earlier run."""
    return msgspec.structs.replace(report, against=compare(before, report, allowed_percent))


def budget_line(verdict: Verdict) -> BudgetLine:
    """A verdict that can be written down."""
    return BudgetLine(*verdict, kept=verdict.kept)


def late_us(rows: Rows) -> Float64:
    """Start minus due of every row, µs."""
    late: Float64 = (rows["start_ns"] - rows["due_ns"]) / 1e3
    return late


def judged_placements(seen: Observed, rate_hz: float) -> list[Placement]:
    """Every placement's spread, of the inferences that overlapped a backbone pass."""
    busy = overlapping(seen.trials, seen.passes)
    found: list[Placement] = []
    measured = 0
    for candidate in seen.placements:
        if not candidate.plans:
            found.append(Placement(candidate.name, why_not=candidate.why_not))
            continue
        mine = seen.trials["placement"] == measured
        measured += 1
        found.append(_placement(candidate.name, seen.trials, mine, busy, rate_hz))
    return found


def _placement(
    name: str,
    trials: Rows,
    mine: npt.NDArray[np.bool_],
    busy: npt.NDArray[np.bool_],
    rate_hz: float,
) -> Placement:
    if not mine.any():
        reason = f"no room beside {rate_hz:g} Hz" if rate_hz > MAX_RATE_HZ else "nothing measured"
        return Placement(name, why_not=reason)
    beside = int((mine & busy).sum()) >= ENOUGH
    rows = trials[mine & busy] if beside else trials[mine]
    took = (rows["end_ns"] - rows["start_ns"]) / 1e3
    return Placement(
        name,
        tick_us=spread(took[rows["new"] == 0]),
        new_features_us=spread(took[rows["new"] == 1]),
        runs=len(rows),
        beside_backbone=beside,
    )


def overlapping(trials: Rows, passes: Rows) -> npt.NDArray[np.bool_]:
    """Which inferences shared the machine with a backbone pass, (trials,)."""
    if len(passes) == 0:
        return np.zeros(len(trials), bool)
    begun = passes["captured_ns"] + passes["capture_ns"]
    ended = begun + passes["preprocess_ns"] + passes["backbone_ns"] + passes["publish_ns"]
    # Passes follow one another, so the last that began before an inference ended is the one.
    last = np.searchsorted(begun, trials["end_ns"]) - 1
    found: npt.NDArray[np.bool_] = (last >= 0) & (ended[last] >= trials["start_ns"])
    return found


def recommend(placements: list[Placement], rate_hz: float) -> str:
    """Where the heads should run, and why, in one line."""
    measured = [(place.tick_us.p99, place) for place in placements if place.tick_us is not None]
    absent = [f"{p.name} not measured: {p.why_not}" for p in placements if p.tick_us is None]
    if not measured:
        return "; ".join(["heads where they are", *absent])
    p99, best = min(
        measured, key=lambda pair: pair[0] * (GPU_MUST_WIN_BY if pair[1].name == "gpu" else 1)
    )
    where = "beside the backbone" if best.beside_backbone else "with the backbone idle"
    reasons = [f"p99 {p99 / 1e3:.2f} ms {where}, {p99 * rate_hz / 1e4:.1f} % of the period"]
    reasons += [
        f"{other.name} {slower / 1e3:.2f} ms ({slower / p99:.2g} times)"
        for slower, other in measured
        if other is not best
    ]
    return f"heads on the {best.name.upper()}: " + "; ".join(reasons + absent)
