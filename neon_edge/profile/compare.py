"""Before and after: every figure of two runs side by side, their ratio, and whether it is worse."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
from msgspec import Struct

from neon_edge.errors import UsageWrong
from neon_edge.profile.labels import LABELS, ORDER, TICK_ORDER
from neon_edge.runtime.report import Lateness, RunReport, Spread

NOISE = 0.05
"""A ratio within 5 % of 1 is not marked: two runs of the same build differ by as much."""
TOO_SMALL_MS = 0.02
"""A figure that grew by less is never worse: a wake-up's own noise."""
TOO_SMALL_HZ = 0.05


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


class Change(Struct, frozen=True):
    """One figure of both runs."""

    row: str
    figure: str
    """p50, p99, rate or ticks"""
    unit: str
    before: float
    after: float
    ratio: float | None
    """After over before; null where there was nothing before."""
    worse: bool = False
    """By more than was allowed."""


class Comparison(Struct, frozen=True):
    """Two runs; keys are a promise to whoever reads `--json`."""

    allowed_percent: float | None
    """How much worse a figure may be; null where nobody said."""
    changes: list[Change]
    not_the_same: list[str]
    """What else differs between the two: board, robot, real time."""

    @property
    def worse(self) -> list[Change]:
        """Figures that are worse by more than was allowed."""
        return [change for change in self.changes if change.worse]


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


def percent(text: str | None) -> float | None:
    """What `--worse-than` says: 10% or 10. Raises `UsageWrong`."""
    if text is None:
        return None
    if re.fullmatch(r"\d+(\.\d+)?%?", text) is None:
        raise UsageWrong("not a percentage", repr(text), "say how much worse is bad: 10%")
    return float(text.removesuffix("%"))


def compare(before: Before, after: RunReport, allowed_percent: float | None = None) -> Comparison:
    """Every figure that both runs have."""
    old, new = _figures(before), _figures(after)
    changes = [
        _change(Change(row, figure, "ms", was, now, None), allowed_percent, TOO_SMALL_MS)
        for row in new
        if row in old
        for figure, was, now in zip(("p50", "p99"), old[row], new[row], strict=True)
    ]
    for row, unit, was, now in (
        ("rate", "Hz", before.rate_hz, after.rate_hz),
        ("features", "Hz", before.features_hz, after.features_hz),
    ):
        change = Change(row, "rate", unit, was, now, None)
        changes.append(_change(change, allowed_percent, TOO_SMALL_HZ, less_is_worse=True))
    for row, was, now in (
        ("missed ticks", before.missed, after.missed),
        ("held ticks", before.stale, after.stale),
    ):
        changes.append(_change(Change(row, "ticks", "", was, now, None), allowed_percent, 0))
    return Comparison(allowed_percent, changes, _differences(before, after))


def _change(
    change: Change, allowed_percent: float | None, too_small: float, *, less_is_worse: bool = False
) -> Change:
    worse = False
    by = change.before - change.after if less_is_worse else change.after - change.before
    if allowed_percent is not None:
        worse = by > too_small and by > change.before * allowed_percent / 100
    ratio = round(change.after / change.before, 4) if change.before > 0 else None
    return msgspec.structs.replace(change, ratio=ratio, worse=worse)


def _differences(before: Before, after: RunReport) -> list[str]:
    pairs = (
        ("board", before.board, after.board),
        ("robot", before.robot, after.robot),
        ("real time", ", ".join(before.real_time), ", ".join(after.real_time)),
    )
    return [
        f"not the same {what}: {old} before, {new} after" for what, old, new in pairs if old != new
    ]


def _figures(report: Before | RunReport) -> dict[str, tuple[float, float]]:
    """(p50, p99) in ms by row, in the order of the table."""
    late = report.lateness_us
    stages = report.stages_us
    rows = {LABELS[n]: (stages[n].p50 / 1e3, stages[n].p99 / 1e3) for n in ORDER if n in stages}
    rows["feature age"] = (report.feature_age_ms.p50, report.feature_age_ms.p99)
    rows["joint state age"] = (report.joint_age_ms.p50, report.joint_age_ms.p99)
    rows["wake-up lateness"] = (late.p50 / 1e3, late.p99 / 1e3)
    rows |= {
        LABELS[n]: (stages[n].p50 / 1e3, stages[n].p99 / 1e3) for n in TICK_ORDER if n in stages
    }
    return {row.strip(): figures for row, figures in rows.items()}


def draw_comparison(found: Comparison) -> str:
    """The table, in ms: p50 and p99 before, after, and after ÷ before; then counts and verdict."""
    lines = [f"{'ms, before → after':<19}{'p50':>24}{'p99':>28}"]
    timed = [change for change in found.changes if change.unit == "ms"]
    for p50, p99 in zip(timed[::2], timed[1::2], strict=True):
        lines.append(f"{p50.row:<19}{_figure(p50)}{_figure(p99)}".rstrip())
    for change in found.changes[len(timed) :]:
        name = f"{change.row}, {change.unit}" if change.unit else change.row
        lines.append(f"{name:<19}{change.before:>10g} → {change.after:g}")
    return "\n".join([*lines, *found.not_the_same, *verdict(found)])


def verdict(found: Comparison) -> list[str]:
    """What is worse than was allowed, in a line; none where nobody asked."""
    if found.allowed_percent is None:
        return []
    named = ", ".join(f"{change.row} {change.figure}" for change in found.worse)
    return [f"worse by more than {found.allowed_percent:g} %: {named or 'nothing'}"]


def _figure(change: Change) -> str:
    return f"{change.before:>9.3f} → {change.after:<9.3f}{mark(change):>7}"


def mark(change: Change) -> str:
    """The ratio, and an arrow where it is more than noise."""
    if change.ratio is None:
        return "- "
    arrow = " " if abs(change.ratio - 1) <= NOISE else "▲" if change.ratio > 1 else "▼"
    return f"{change.ratio:.2f}{arrow}"
