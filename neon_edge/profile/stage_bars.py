"""Every stage as a row: a bar to p50, p99 and the worst on one scale a group, figures, budget."""

from __future__ import annotations

from neon_edge.profile.axes import Axis
from neon_edge.profile.labels import LABELS
from neon_edge.profile.markup import Markup, tag
from neon_edge.profile.report import BudgetLine, ProfileReport
from neon_edge.runtime.report import Lateness, Spread

WIDTH, HEIGHT = 420.0, 16.0
PASS = ("capture", "preprocess", "backbone", "publish")
TICK = ("read", "slot", "heads", "safety", "write")

Row = tuple[str, Spread, str]
"""Label, ms, and the name of its budget line (empty: none)."""


def stage_table(report: ProfileReport) -> Markup:
    """The table: a backbone pass, a tick, the wait before it, and the age of what it acts on."""
    stages = {name: _ms(values) for name, values in report.stages_us.items()}
    passes: list[Row] = [(name, stages[name], name) for name in PASS]
    tick: list[Row] = [("tick", stages["tick"], "tick")]
    labels = {name: LABELS[name].strip() for name in TICK}
    tick += [("\u2003" + label, stages[name], label) for name, label in labels.items()]
    waking: list[Row] = [
        ("wake-up lateness", _waking(report.lateness_us), "wake-up lateness"),
        ("bare wake-up", _waking(report.probe_us), ""),
    ]
    ages: list[Row] = [
        ("feature age", report.feature_age_ms, "feature age"),
        ("joint state age", report.joint_age_ms, "joint state age"),
    ]
    head = tag("tr", *(tag("th", text) for text in ("", "", "p50", "p99", "worst", "budget", "")))
    groups = (
        ("A backbone pass", passes),
        ("A tick", tick),
        ("Waking up for it", waking),
        ("What it acts on", ages),
    )
    drawn = [row for title, rows in groups for row in _group(title, rows, report)]
    return tag("table", head, *drawn)


def _waking(late: Lateness) -> Spread:
    return Spread(late.p50 / 1e3, late.p99 / 1e3, late.max / 1e3)


def _ms(values: Spread) -> Spread:
    return Spread(values.p50 / 1e3, values.p99 / 1e3, values.max / 1e3)


def _group(title: str, rows: list[Row], report: ProfileReport) -> list[Markup]:
    """Rows on one linear scale from 0 to their worst."""
    high = max(values.max for _, values, _ in rows) or 1.0
    scale = Axis(0, high * 1.02, 0, WIDTH)
    limits = {line.row: line for line in report.budget}
    drawn = [tag("tr", tag("td", title, colspan="7"), class_="group")]
    for label, values, budget in rows:
        line = limits.get(budget)
        drawn.append(_row(label, values, _bar(values, scale, line), line))
    return drawn


def _row(label: str, values: Spread, bar: Markup, line: BudgetLine | None) -> Markup:
    verdict = tag("td")
    if line is not None:
        kind, word = ("kept", "ok") if line.kept else ("missed", "missed")
        verdict = tag("td", word, class_=kind)
    return tag(
        "tr",
        tag("td", label.strip(), **({"class_": "part"} if label != label.strip() else {})),
        tag("td", bar, class_="bar"),
        *(tag("td", f"{value:.3f}") for value in (values.p50, values.p99, values.max)),
        tag("td", f"{line.limit:g}" if line else ""),
        verdict,
    )


def _bar(values: Spread, scale: Axis, line: BudgetLine | None) -> Markup:
    """p50 solid, then on to p99 and the worst ever lighter; the budget where it is on the scale."""
    parts = [tag("rect", x=0, y=6, width=WIDTH, height=4, rx=2, class_="track")]
    parts += [
        tag("rect", x=0, y=2, width=max(1.5, scale.at(value)), height=12, rx=2, class_=kind)
        for value, kind in ((values.max, "far"), (values.p99, "mid"), (values.p50, "bar"))
    ]
    if line is not None and line.limit <= scale.high:
        x = scale.at(line.limit)
        parts.append(tag("line", x1=x, x2=x, y1=0, y2=HEIGHT, class_="limit"))
    return tag(
        "svg", *parts, viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}", preserveAspectRatio="none",
        style=f"height:{HEIGHT:g}px",
    )  # fmt: skip
