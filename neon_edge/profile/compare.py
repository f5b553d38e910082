"""Before and after: every figure of two runs side by side, and their ratio."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from neon_edge.errors import UsageWrong
from neon_edge.profile.table import LABELS, ORDER, TICK_ORDER
from neon_edge.runtime.report import Lateness, RunReport, Spread

NOISE = 0.05
"""A ratio within 5 % of 1 is not marked: two runs of the same build differ by as much."""


class Before(Struct, frozen=True):
    """The part of a run's report that is compared, so that older reports can be read too."""

    robot: str
    board: str
    real_time: list[str]
    missed: int
    stale: int
    rate_hz: float
    features_hz: float
    lateness_us: Lateness
    stages_us: dict[str, Spread]
    feature_age_ms: Spread
    joint_age_ms: Spread


def read_before(path: Path) -> Before:
    """What `run --json` or `profile --json` wrote earlier. Raises `UsageWrong`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Before)
    except OSError as failure:
        facts = f"{path}: {failure.strerror}"
    except msgspec.MsgspecError as failure:
        facts = f"{path}: {failure}"
    raise UsageWrong(
        "there is nothing to compare with",
        facts,
        f"write it first: neon-edge profile --robot NAME --json > {path}",
    )


def draw_comparison(before: Before, after: RunReport) -> str:
    """The table, in ms: p50 and p99 before, after, and after ÷ before; then counts."""
    lines = [f"{'ms, before → after':<19}{'p50':>24}{'p99':>28}"]
    lines += [_row(label, *pair) for label, pair in _pairs(before, after)]
    lines += [
        f"{name:<19}{old:>10g} → {new:g}"
        for name, old, new in (
            ("rate, Hz", before.rate_hz, after.rate_hz),
            ("features, Hz", before.features_hz, after.features_hz),
            ("missed ticks", before.missed, after.missed),
            ("held ticks", before.stale, after.stale),
        )
    ]
    for what, old, new in (
        ("board", before.board, after.board),
        ("robot", before.robot, after.robot),
        ("real time", ", ".join(before.real_time), ", ".join(after.real_time)),
    ):
        if old != new:
            lines.append(f"not the same {what}: {old} before, {new} after")
    return "\n".join(lines)


Figures = tuple[float, float]


def _pairs(before: Before, after: RunReport) -> list[tuple[str, tuple[Figures, Figures]]]:
    """(label, ((p50, p99) before, (p50, p99) after)) in ms; stages that both runs have."""
    old, new = _figures(before), _figures(after)
    return [(label, (old[label], new[label])) for label in new if label in old]


def _figures(report: Before | RunReport) -> dict[str, Figures]:
    late = report.lateness_us
    stages = report.stages_us
    rows = {LABELS[n]: (stages[n].p50 / 1e3, stages[n].p99 / 1e3) for n in ORDER if n in stages}
    rows["feature age"] = (report.feature_age_ms.p50, report.feature_age_ms.p99)
    rows["joint state age"] = (report.joint_age_ms.p50, report.joint_age_ms.p99)
    rows["wake-up lateness"] = (late.p50 / 1e3, late.p99 / 1e3)
    rows |= {
        LABELS[n]: (stages[n].p50 / 1e3, stages[n].p99 / 1e3) for n in TICK_ORDER if n in stages
    }
    return rows


def _row(label: str, old: Figures, new: Figures) -> str:
    figures = (
        f"{was:>9.3f} → {now:<9.3f}{_ratio(was, now)}" for was, now in zip(old, new, strict=True)
    )
    return f"{label:<19}{''.join(figures)}".rstrip()


def _ratio(was: float, now: float) -> str:
    if was <= 0:
        return "      -"
    ratio = now / was
    mark = " " if abs(ratio - 1) <= NOISE else "▲" if ratio > 1 else "▼"
    return f"{ratio:>6.2f}{mark}"
