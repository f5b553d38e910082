"""`--against` as a section of the page: p50 and p99 of both runs, and what became worse."""

from __future__ import annotations

from neon_edge.profile.axes import figure
from neon_edge.profile.compare import Change, Comparison, mark, verdict
from neon_edge.profile.markup import Markup, join, tag


def comparison_section(found: Comparison | None) -> Markup:
    """Nothing where nothing was compared."""
    if found is None:
        return join()
    heads = ("", "p50 before", "after", "ratio", "p99 before", "after", "ratio")
    timed = [change for change in found.changes if change.unit == "ms"]
    rows = [
        tag("tr", tag("td", p50.row), *_cells(p50), *_cells(p99))
        for p50, p99 in zip(timed[::2], timed[1::2], strict=True)
    ]
    counted = [
        tag("tr", tag("td", f"{change.row} {change.unit}".strip()), *_cells(change))
        for change in found.changes[len(timed) :]
    ]
    said = [*verdict(found), *found.not_the_same]
    return tag(
        "section",
        tag("h2", "Before and after, ms"),
        *(tag("p", line, class_="note") for line in said),
        tag("table", tag("tr", *(tag("th", head) for head in heads)), *rows, *counted),
    )


def _cells(change: Change) -> list[Markup]:
    ratio = tag("td", mark(change).strip(), **({"class_": "missed"} if change.worse else {}))
    return [tag("td", figure(change.before)), tag("td", figure(change.after)), ratio]
