"""The budget a robot file promises, against what a run measured."""

from __future__ import annotations

from typing import NamedTuple

from neon_edge.config import Budget
from neon_edge.profile.labels import LABELS
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
    stages = {
        LABELS[name].strip(): (spread.p99 / 1e3, getattr(budget, f"{name}_ms"))
        for name, spread in report.stages_us.items()
    }
    rows: dict[str, tuple[float, float | None]] = {
        "tick": stages.pop("tick"),
        "wake-up lateness": (report.lateness_us.p99 / 1e3, budget.lateness_ms),
        "feature age": (report.feature_age_ms.p99, budget.feature_age_ms),
        "joint state age": (report.joint_age_ms.p99, budget.joint_age_ms),
        **stages,
    }
    kept = [Verdict(row, p99, limit, "ms") for row, (p99, limit) in rows.items() if limit]
    return [*kept, Verdict("missed ticks", float(report.missed), 0.0, "")]
