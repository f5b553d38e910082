"""A run of 200 ticks and 20 backbone passes made by hand, with everything that can go wrong."""

from __future__ import annotations

import numpy as np

from neon_edge.config import load_robot
from neon_edge.profile.observe import Observed
from neon_edge.profile.placements import Candidate, TrialRing
from neon_edge.profile.probe import WakeRing
from neon_edge.profile.report import ProfileReport, late_us, profile_report
from neon_edge.runtime import report as reports
from neon_edge.runtime.report import RunReport
from neon_edge.runtime.tally import Tally
from neon_edge.safety.watch import Cause
from neon_edge.telemetry.mapped import row_dtype
from neon_edge.telemetry.ring import PassRing, TickRing
from neon_edge.types import Rung

MS = 1_000_000
US = 1_000
PERIOD = 20 * MS
ORIGIN = 5_000 * MS


def observed(seed: int = 0) -> Observed:
    """Rows as the rings would hold them: jitter, one missed tick, a hold, a pass unpublished."""
    random = np.random.default_rng(seed)
    seen = Observed()
    seen.passes = _passes(random)
    seen.ticks = _ticks(random, seen.passes)
    seen.wakes = np.zeros(180, row_dtype(WakeRing.FIELDS))
    seen.wakes["due_ns"] = ORIGIN + PERIOD // 2 + np.arange(180) * PERIOD
    seen.wakes["start_ns"] = seen.wakes["due_ns"] + random.integers(20 * US, 200 * US, 180)
    seen.trials = np.zeros(180, row_dtype(TrialRing.FIELDS))
    seen.trials["start_ns"] = ORIGIN + PERIOD * 3 // 4 + np.arange(180) * PERIOD
    seen.trials["end_ns"] = seen.trials["start_ns"] + random.integers(500 * US, 900 * US, 180)
    seen.trials["new"] = np.arange(180) % 5 == 0
    seen.placements = [Candidate("cpu", plans="plans"), Candidate("gpu", why_not="<no GPU> & sons")]
    return seen


def _passes(random: np.random.Generator) -> np.ndarray:
    """Pictures every 200 ms: some were taken while the pass before was still under way."""
    passes = np.zeros(20, row_dtype(PassRing.FIELDS))
    passes["captured_ns"] = ORIGIN - 300 * MS + np.arange(20) * 200 * MS
    passes["capture_ns"] = random.integers(10 * MS, 250 * MS, 20)
    begun = passes["captured_ns"] + passes["capture_ns"]
    for name in ("preprocess", "backbone", "publish"):
        passes[f"{name}_ns"] = random.integers(1 * MS, 60 * MS, 20)
    took = passes["preprocess_ns"] + passes["backbone_ns"] + passes["publish_ns"]
    for row in range(1, 20):
        begun[row] = max(begun[row], begun[row - 1] + took[row - 1])
    passes["capture_ns"] = begun - passes["captured_ns"]
    passes["sequence"] = np.arange(1, 21)
    passes["sequence"][7] = 0
    return passes


def _ticks(random: np.random.Generator, passes: np.ndarray) -> np.ndarray:
    ticks = np.zeros(200, row_dtype(TickRing.FIELDS))
    ticks["number"] = np.arange(200) + (np.arange(200) > 120)
    ticks["due_ns"] = ORIGIN + ticks["number"] * PERIOD
    ticks["start_ns"] = ticks["due_ns"] + random.integers(30 * US, 300 * US, 200)
    ticks["start_ns"][60] += 6 * MS
    for name in reports.TICK_STAGES:
        ticks[f"{name}_ns"] = random.integers(10 * US, 900 * US, 200)
    stages = sum(ticks[f"{name}_ns"] for name in reports.TICK_STAGES)
    ticks["end_ns"] = ticks["start_ns"] + stages + random.integers(0, 50 * US, 200)
    published = passes[passes["sequence"] > 0]
    done = published["captured_ns"] + sum(published[f"{name}_ns"] for name in reports.PASS_STAGES)
    newest = np.searchsorted(done, ticks["start_ns"], side="right") - 1
    ticks["features_ns"] = np.where(newest >= 0, published["captured_ns"][newest], 0)
    ticks["joints_ns"] = ticks["start_ns"] + 10
    ticks["rung"][100:110] = Rung.HOLD
    ticks["cause"][100:110] = Cause.FEATURES_OLD
    return ticks


def run_report(seen: Observed, **changes: object) -> RunReport:
    """What the supervisor would have reported of these rows."""
    facts: dict[str, object] = {
        "robot": "sim<b>&",
        "board": 'a "board" <script>alert(1)</script>',
        "real_time": ["FIFO 50"],
        "warnings": ["<i>warned</i> & fixed"],
    }
    tally = Tally()
    tally.add(seen.ticks, seen.passes)
    numbers: dict[str, object] = tally.counts()
    counts: dict[str, object] = {
        field: 0 for field in RunReport.__struct_fields__ if field not in facts | numbers
    }
    counts |= {"features_refused": {}, "joint_commands_received": None}
    return RunReport(**(counts | facts | numbers | changes))  # type: ignore[arg-type]


def report(seen: Observed) -> ProfileReport:
    """The same as `profile` completes it."""
    return profile_report(run_report(seen), seen, load_robot("sim"))


__all__ = ["MS", "PERIOD", "US", "late_us", "observed", "report", "run_report"]
