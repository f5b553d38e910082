"""The budget a robot file promises, against what a run measured."""

from __future__ import annotations

from typing import NamedTuple

from neon_edge.config import Budget
from neon_edge.runtime.report import RunReport


class Verdict(NamedTuple):
    """One promise: a row of the table, its p99 and its limit in that row's unit."""

    row: str
    measured: float
    limit: float
    unit: str

    @property
    def kept(self) -> bool:
        """Measured within the limit."""
        return self.measured <= self.limit


def judge(report: RunReport, budget: Budget) -> list[Verdict]:
    """Every promise of the budget, and that no tick was missed."""
    return [
        Verdict("tick", report.stages_us["tick"].p99 / 1e3, budget.tick_ms, "ms"),
        Verdict("wake-up lateness", report.lateness_us.p99 / 1e3, budget.lateness_ms, "ms"),
        Verdict("feature age", report.feature_age_ms.p99, budget.feature_age_ms, "ms"),
        Verdict("missed ticks", float(report.missed), 0.0, ""),
    ]
