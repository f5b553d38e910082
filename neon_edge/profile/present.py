"""What `profile` says at the terminal: the table, the machine's best, histograms, placements."""

from __future__ import annotations

from neon_edge.profile.budget import Verdict
from neon_edge.profile.compare import draw_comparison
from neon_edge.profile.histogram import Histogram
from neon_edge.profile.report import ProfileReport
from neon_edge.profile.table import draw_table

BAR = 40
BLOCKS = " ▏▎▍▌▋▊▉█"


def present(report: ProfileReport) -> str:
    """Everything, as text for 100 columns."""
    verdicts = [Verdict(line.row, line.measured, line.limit, line.unit) for line in report.budget]
    return "\n".join(
        [
            draw_table(report, verdicts),
            _probe(report),
            "",
            *draw_histogram("wake-up lateness", report.lateness_histogram),
            "",
            *draw_histogram("feature age", report.feature_age_histogram),
            "",
            report.recommendation,
            *(["", draw_comparison(report.against)] if report.against else []),
        ]
    )


def _probe(report: ProfileReport) -> str:
    best = report.probe_us
    if best.max == 0:
        return "the probe did not run"
    return (
        f"{'  bare wake-up':<18}{best.p50 / 1e3:>9.3f}{best.p99 / 1e3:>9.3f}"
        f"{best.max / 1e3:>9.3f}    a process that only wakes, in the same run"
    )


def draw_histogram(title: str, histogram: Histogram) -> list[str]:
    """One line a power of two; the maximum and what fell outside stand below."""
    lines = [f"{title}, {histogram.unit}"]
    rows = octaves(histogram)
    most = max((count for *_, count in rows), default=1)
    for low, high, count in rows:
        eighths = round(BAR * 8 * count / most) or int(count > 0)
        bar = "█" * (eighths // 8) + BLOCKS[eighths % 8].strip()
        lines.append(f"{low:>9g} - {high:<7g}{count:>8}  {bar}".rstrip())
    outside = f"max {histogram.max:g} {histogram.unit}, {histogram.overflow} over the last bin"
    if histogram.below:
        outside += f", {histogram.below} under the first"
    return [*lines, f"  {outside}"]


def octaves(histogram: Histogram) -> list[tuple[float, float, int]]:
    """The same counts by whole powers of two: (low, high, count)."""
    found: dict[int, int] = {}
    for edge, count in zip(histogram.edges, histogram.counts, strict=False):
        octave = _octave(edge)
        found[octave] = found.get(octave, 0) + count
    return [(2.0**octave, 2.0 ** (octave + 1), count) for octave, count in found.items()]


def _octave(edge: float) -> int:
    # Edges were rounded when written; a hair is added so that 8.0 does not fall under 8.
    octave = 0
    while 2.0 ** (octave + 1) <= edge * (1 + 1e-6):
        octave += 1
    return octave
