"""Two pictures as inline SVG: a histogram with a logarithmic count, and a strip over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from neon_edge.profile.axes import Axis, decade_marks, octave_marks, round_marks
from neon_edge.profile.histogram import Histogram
from neon_edge.profile.markup import Markup, join, tag
from neon_edge.types import Float64

WIDTH = 1000.0
LEFT, RIGHT = 56.0, 988.0


class Mark(NamedTuple):
    """A labelled line across a picture, such as a percentile or a budget."""

    label: str
    value: float
    kind: str
    """A CSS class: rule, limit or worst."""


class Shade(NamedTuple):
    """An interval of a strip: when, and its CSS class, held or missed."""

    begin_s: float
    end_s: float
    kind: str


def histogram_plot(
    histogram: Histogram, behind: Histogram | None, marks: Sequence[Mark], height: float = 250.0
) -> Markup:
    """Bars on a log-log grid, as `cyclictest -h` is usually drawn; `behind` as a stepped line."""
    shown = [one for one in (histogram, behind) if one is not None and one.counts]
    if not histogram.counts:
        return tag("p", "nothing measured", class_="note")
    top, bottom = 44.0, height - 34
    values = [mark.value for mark in marks]
    low = min(one.edges[0] for one in shown)
    high = max([*(one.edges[-1] for one in shown), *(value * 1.1 for value in values)])
    across = Axis(low, max(high, low * 2), LEFT, RIGHT, log=True)
    most = max(max(one.counts) for one in shown)
    up = Axis(0.6, most * 1.6, bottom, top, log=True)
    parts = [_grid(up, decade_marks(most)), _below(across, bottom, histogram.unit)]
    parts += [
        tag(
            "rect",
            tag("title", f"{low:.4g} to {high:.4g} {histogram.unit}: {count}"),
            x=across.at(low) + 0.5,
            y=up.at(count),
            width=max(1.0, across.at(high) - across.at(low) - 1),
            height=bottom - up.at(count),
            class_="bar",
        )
        for low, high, count in bins(histogram)
        if count
    ]
    if behind is not None and behind.counts:
        parts.append(tag("path", d=_steps(behind, across, up, bottom), class_="best"))
    parts += _marks_down(marks, across, top, bottom)
    return _picture(height, *parts)


def bins(histogram: Histogram) -> list[tuple[float, float, int]]:
    """(low, high, count) of every bin."""
    return list(zip(histogram.edges, histogram.edges[1:], histogram.counts, strict=False))


def _steps(histogram: Histogram, across: Axis, up: Axis, bottom: float) -> str:
    path = [f"M{across.at(histogram.edges[0]):.1f} {bottom:.1f}"]
    for low, high, count in bins(histogram):
        y = up.at(count) if count else bottom
        path.append(f"L{across.at(low):.1f} {y:.1f}L{across.at(high):.1f} {y:.1f}")
    return "".join(path) + f"L{across.at(histogram.edges[-1]):.1f} {bottom:.1f}"


def _marks_down(marks: Sequence[Mark], across: Axis, top: float, bottom: float) -> list[Markup]:
    """Vertical lines; labels that would touch go to a second and third line above the plot."""
    parts: list[Markup] = []
    ends = [-1e9, -1e9, -1e9]
    ordered = sorted(marks, key=lambda mark: mark.value)
    for mark, following in zip(ordered, [*ordered[1:], None], strict=True):
        x = across.at(mark.value)
        half = 3.4 * len(mark.label) + 4
        # No label may lie under the next line.
        room = across.at(following.value) - 2 if following else RIGHT
        middle = max(min(x, room - half, RIGHT - half), LEFT + half)
        row = next((n for n, end in enumerate(ends) if middle - half > end), len(ends) - 1)
        ends[row] = middle + half
        y = top - 8 - 14 * row
        parts.append(tag("line", x1=x, x2=x, y1=y + 3, y2=bottom, class_=mark.kind))
        parts.append(tag("text", mark.label, x=middle, y=y, class_=f"mark {mark.kind}"))
    return parts


def strip_plot(
    at_s: Float64, values: Float64, limit: Mark | None, shade: Sequence[Shade],
    *, span_s: float, height: float = 132.0, last: bool = False,
) -> Markup:  # fmt: skip
    """Values over time: the envelope of what falls on each pixel, so that no spike is lost.

    `shade` are intervals to mark, such as those on which the robot held; `last` draws the time
    axis.
    """
    top, bottom = 12.0, height - (30 if last else 10)
    if len(values) == 0:
        return tag("p", "nothing measured", class_="note")
    high = float(values.max()) * 1.15 or 1.0
    within = limit is not None and limit.value < 2.2 * high
    if limit is not None and within:
        high = max(high, limit.value * 1.15)
    up, across = Axis(0, high, bottom, top), Axis(0, span_s, LEFT, RIGHT)
    parts = [
        tag(
            "rect",
            x=across.at(one.begin_s),
            y=top,
            width=max(1.5, across.at(one.end_s) - across.at(one.begin_s)),
            height=bottom - top,
            class_=one.kind,
        )
        for one in merged(shade, span_s / (RIGHT - LEFT))
    ]
    parts.append(_grid(up, round_marks(high, 3)))
    parts.append(tag("path", d=_envelope(at_s, values, across, up), class_="strip"))
    if limit is not None and within:
        y = up.at(limit.value)
        parts.append(tag("line", x1=LEFT, x2=RIGHT, y1=y, y2=y, class_=limit.kind))
        parts.append(tag("text", limit.label, x=RIGHT - 4, y=y - 5, class_=f"side {limit.kind}"))
    elif limit is not None:
        parts.append(
            tag("text", f"{limit.label} ↑", x=RIGHT - 4, y=top + 4, class_=f"side {limit.kind}")
        )
    if last:
        parts += [
            tag("text", f"{mark:g} s", x=across.at(mark), y=bottom + 20, class_="mark")
            for mark in round_marks(span_s, 8)
        ]
    return _picture(height, *parts)


def merged(shade: Sequence[Shade], apart_s: float) -> list[Shade]:
    """Intervals of one kind that are less than `apart_s` apart, as one."""
    joined: dict[str, list[Shade]] = {}
    for one in shade:
        row = joined.setdefault(one.kind, [])
        if row and one.begin_s - row[-1].end_s < apart_s:
            row[-1] = row[-1]._replace(end_s=one.end_s)
        else:
            row.append(one)
    return [one for row in joined.values() for one in row]


def _envelope(at_s: Float64, values: Float64, across: Axis, up: Axis) -> str:
    """One line through every value, or through each pixel's lowest and highest where crowded."""
    columns = np.floor(
        across.start + at_s / across.high * (across.end - across.start)
    ).astype(int)  # fmt: skip
    path = []
    for column in np.unique(columns):
        here = values[columns == column]
        ends = (
            here
            if len(here) <= 2
            else [here[0], *sorted((here.min(), here.max()), key=float), here[-1]]
        )
        path += [f"{column:d} {up.at(float(value)):.1f}" for value in ends]
    return "M" + "L".join(path)


def _grid(up: Axis, marks: list[float]) -> Markup:
    lines = [
        tag("line", x1=LEFT, x2=RIGHT, y1=up.at(mark), y2=up.at(mark), class_="grid")
        for mark in marks
    ]
    labels = [
        tag("text", f"{mark:g}", x=LEFT - 8, y=up.at(mark) + 4, class_="side") for mark in marks
    ]
    return join(*lines, *labels)


def _below(across: Axis, bottom: float, unit: str) -> Markup:
    marks = octave_marks(across.low, across.high)
    texts = [
        tag("text", f"{mark:g}", x=across.at(mark), y=bottom + 18, class_="mark") for mark in marks
    ]
    ticks = [
        tag("line", x1=across.at(mark), x2=across.at(mark), y1=bottom, y2=bottom + 4, class_="axis")
        for mark in marks
    ]
    floor = tag("line", x1=LEFT, x2=RIGHT, y1=bottom, y2=bottom, class_="axis")
    return join(floor, *ticks, *texts, tag("text", unit, x=LEFT - 8, y=bottom + 18, class_="side"))


def _picture(height: float, *parts: str) -> Markup:
    return tag("svg", *parts, viewBox=f"0 0 {WIDTH:g} {height:g}", class_="wide")
