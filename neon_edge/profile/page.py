"""`profile --report`: one page in one file, light and dark, with neither script nor network."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from neon_edge import __version__
from neon_edge.profile.axes import figure
from neon_edge.profile.before_after import comparison_section
from neon_edge.profile.look import CSS
from neon_edge.profile.markup import Markup, join, style_sheet, tag
from neon_edge.profile.observe import Observed
from neon_edge.profile.plots import Mark, Shade, histogram_plot, strip_plot
from neon_edge.profile.report import BudgetLine, ProfileReport, late_us
from neon_edge.profile.stage_bars import stage_table
from neon_edge.runtime.report import Lateness, Spread
from neon_edge.telemetry.mapped import Rows
from neon_edge.types import Float64, Rung


def write_page(path: Path, report: ProfileReport, seen: Observed) -> None:
    """Write the page of one run."""
    made = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    path.write_text(draw_page(report, seen, made), encoding="utf-8")


def draw_page(report: ProfileReport, seen: Observed, made: str) -> str:
    """The whole document. Every string that came from elsewhere is escaped on its way in."""
    title = f"{report.robot} · profile"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width,initial-scale=1"),
        tag("title", title),
        style_sheet(CSS),
    )
    body = tag(
        "main",
        tag("header", tag("h1", title), *_badge(report)),
        tag("p", _facts(report), class_="facts"),
        tag("div", *_tiles(report), class_="tiles"),
        _stages(report),
        comparison_section(report.against),
        _strips(report, seen),
        _lateness(report),
        _feature_age(report),
        _placements(report),
        _warnings(report),
        tag("footer", f"neon-edge {__version__} · {made} · figures are p50, p99 and the worst of "
            f"{report.ticks} ticks and {report.backbone_passes} backbone passes"),
    )  # fmt: skip
    return "<!doctype html>\n" + tag("html", head, tag("body", body), lang="en")


def _badge(report: ProfileReport) -> list[Markup]:
    missed = [line.row for line in report.budget if not line.kept]
    bad = [f"budget missed: {', '.join(missed)}"] if missed else []
    if report.against is not None and report.against.worse:
        bad.append("worse than before")
    if not bad:
        return [tag("span", "within budget", class_="badge good")]
    return [tag("span", text, class_="badge bad") for text in bad]


def _facts(report: ProfileReport) -> str:
    return " · ".join([report.board, *report.real_time])


def _line(report: ProfileReport, row: str) -> BudgetLine:
    return next(line for line in report.budget if line.row == row)


def _tiles(report: ProfileReport) -> list[Markup]:
    tick, late = _line(report, "tick"), _line(report, "wake-up lateness")
    age = _line(report, "feature age")
    best = report.probe_us
    ticks = report.ticks + report.missed
    return [
        _tile("rate held", f"{report.rate_hz:.2f}", "Hz", f"{report.rate_wanted_hz:g} Hz wanted"),
        _tile("missed ticks", str(report.missed), "", f"of {ticks}", report.missed > 0),
        _tile("tick, p99", figure(tick.measured), "ms", f"budget {tick.limit:g} ms", not tick.kept),
        _tile(
            "lateness, p99",
            figure(late.measured * 1e3),
            "µs",
            f"bare wake-up {figure(best.p99)}",
            not late.kept,
        ),
        _tile("feature age, p99", figure(age.measured), "ms", f"budget {age.limit:g} ms",
              not age.kept),
        _tile("features", f"{report.features_hz:.1f}", "Hz", f"{report.stale} ticks held",
              report.stale > 0),
    ]  # fmt: skip


def _tile(what: str, much: str, unit: str, against: str, bad: bool = False) -> Markup:
    return tag(
        "div",
        tag("div", what, class_="what"),
        tag("div", much, *([tag("small", unit)] if unit else []), class_="much"),
        tag("div", against, class_="against"),
        class_="tile bad" if bad else "tile",
    )


def _section(title: str, note: str, *children: str) -> Markup:
    return tag("section", tag("h2", title), tag("p", note, class_="note"), *children)


def _stages(report: ProfileReport) -> Markup:
    key = tag(
        "p",
        tag("span", class_="key k1"), "p50",
        tag("span", class_="key k2"), "to p99",
        tag("span", class_="key k3"), "to the worst",
        tag("span", class_="key kl"), "budget",
        class_="note",
    )  # fmt: skip
    return tag("section", tag("h2", "Every stage, ms"), key, stage_table(report))


def _strips(report: ProfileReport, seen: Observed) -> Markup:
    ticks = seen.ticks
    if len(ticks) == 0:
        return _section("Over time", "no tick ran")
    begun_ns = int(ticks["start_ns"][0])
    at_s = (ticks["start_ns"] - begun_ns) / 1e9
    span_s = max(float(at_s[-1]), 1e-3)
    shade = [*_held(ticks, at_s), *_missed(ticks, at_s)]
    fed = ticks["features_ns"] > 0
    took = (ticks["end_ns"] - ticks["start_ns"]) / 1e6
    age = ((ticks["start_ns"] - ticks["features_ns"]) / 1e6)[fed]
    rows = (
        ("tick, ms", at_s, took, _limit(report, "tick"), False),
        ("wake-up lateness, µs", at_s, late_us(ticks), _limit(report, "wake-up lateness"), False),
        ("age of the features behind each tick, ms", at_s[fed], age,
         _limit(report, "feature age"), True),
    )  # fmt: skip
    drawn = [
        join(
            tag("p", title, class_="strip-title"),
            strip_plot(x, y, limit, shade, span_s=span_s, last=last),
        )
        for title, x, y, limit, last in rows
    ]
    kinds = {one.kind for one in shade}
    key = tag(
        "p",
        *((tag("span", class_="key kh"), "the robot held") if "held" in kinds else ()),
        *((tag("span", class_="key km"), "missed") if "missed" in kinds else ()),
        class_="note",
    )
    return tag(
        "section",
        tag("div", tag("h2", "Over time"), key, class_="pair"),
        *drawn,
    )


def _limit(report: ProfileReport, row: str) -> Mark:
    line = _line(report, row)
    scale = 1e3 if row == "wake-up lateness" else 1.0
    unit = "µs" if row == "wake-up lateness" else line.unit
    return Mark(f"budget {line.limit * scale:g} {unit}", line.limit * scale, "limit")


def _held(ticks: Rows, at_s: Float64) -> list[Shade]:
    """Intervals in s on which the robot did not simply run."""
    below = np.concatenate(([0], (ticks["rung"] != Rung.RUN).astype(int), [0]))
    turns = np.flatnonzero(np.diff(below))
    last = len(at_s) - 1
    return [
        Shade(float(at_s[begin]), float(at_s[min(end, last)]), "held")
        for begin, end in zip(turns[::2], turns[1::2], strict=True)
    ]


def _missed(ticks: Rows, at_s: Float64) -> list[Shade]:
    """Gaps in s between two ticks that do not follow one another."""
    gaps = np.flatnonzero(np.diff(ticks["number"]) > 1)
    return [Shade(float(at_s[gap]), float(at_s[gap + 1]), "missed") for gap in gaps]


def _lateness(report: ProfileReport) -> Markup:
    late, best = report.lateness_us, report.probe_us
    key = tag(
        "p",
        tag("span", class_="key k1"), "the control loop",
        tag("span", class_="key kb"), "a process that only wakes, in the same run: "
        f"p99.9 {figure(best.p999)} µs, worst {figure(best.max)} µs",
        class_="note",
    )  # fmt: skip
    marks = [*_percentile_marks(late, "µs")]
    out = report.lateness_histogram
    return tag(
        "section",
        tag("h2", "Wake-up lateness"),
        key,
        histogram_plot(out, report.probe_histogram, marks),
        tag("p", f"{out.total} ticks, {out.overflow} over the last bin; counts are logarithmic, so "
            "that a single late tick shows", class_="note"),
    )  # fmt: skip


def _percentile_marks(late: Lateness, unit: str) -> list[Mark]:
    return [
        Mark(f"p50 {figure(late.p50)}", late.p50, "rule"),
        Mark(f"p99 {figure(late.p99)}", late.p99, "rule"),
        Mark(f"p99.9 {figure(late.p999)}", late.p999, "rule"),
        Mark(f"worst {figure(late.max)} {unit}", late.max, "worst"),
    ]


def _feature_age(report: ProfileReport) -> Markup:
    age: Spread = report.feature_age_ms
    marks = [
        Mark(f"p50 {figure(age.p50)}", age.p50, "rule"),
        Mark(f"p99 {figure(age.p99)}", age.p99, "rule"),
        Mark(f"worst {figure(age.max)} ms", age.max, "worst"),
    ]
    out = report.feature_age_histogram
    return _section(
        "Feature age",
        f"From capture to the tick that acted on it, {out.total} ticks; "
        f"{out.overflow} over the last bin",
        histogram_plot(out, None, marks if out.total else []),
    )


def _placements(report: ProfileReport) -> Markup:
    head = tag("tr", *(tag("th", text) for text in ("heads on", "inferences", "tick p50", "p99",
               "worst", "new features p99")))  # fmt: skip
    rows = []
    for place in report.placements:
        if place.tick_us is None or place.new_features_us is None:
            cells = [tag("td", place.name), tag("td", place.why_not, colspan="5", class_="words")]
        else:
            took = place.tick_us
            figures = (took.p50, took.p99, took.max, place.new_features_us.p99)
            cells = [tag("td", place.name), tag("td", str(place.runs))]
            cells += [tag("td", f"{value / 1e3:.3f}") for value in figures]
        rows.append(tag("tr", *cells))
    note = "One inference a period between the loop's ticks, while a backbone pass ran; ms"
    return _section(
        "Where the heads should run",
        note,
        tag("p", report.recommendation, class_="say"),
        tag("table", head, *rows),
    )


def _warnings(report: ProfileReport) -> Markup:
    said: Sequence[str] = report.warnings
    if not said:
        return join()
    return tag("section", tag("h2", "Warnings"), tag("ul", *(tag("li", line) for line in said)))
