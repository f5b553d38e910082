"""The per-stage table as text: milliseconds, p50 / p99 / max, and the budget where one is."""

from __future__ import annotations

from neon_edge.profile.budget import Verdict
from neon_edge.profile.labels import LABELS, ORDER, TICK_ORDER
from neon_edge.runtime.report import RunReport, Spread


def draw_table(report: RunReport, verdicts: list[Verdict] | None) -> str:
    """The whole table, header line first."""
    limits = {verdict.row: verdict for verdict in verdicts or []}
    late = report.lateness_us
    rows = [_stage(name, report, limits) for name in ORDER]
    rows.append(_row("feature age", report.feature_age_ms, limits.get("feature age")))
    rows.append(_row("joint state age", report.joint_age_ms, limits.get("joint state age")))
    rows.append(
        _row(
            "wake-up lateness",
            Spread(late.p50 / 1e3, late.p99 / 1e3, late.max / 1e3),
            limits.get("wake-up lateness"),
        )
    )
    rows += [_stage(name, report, limits) for name in TICK_ORDER]
    header = f"{'ms':<18}{'p50':>9}{'p99':>9}{'max':>9}" + ("    budget" if verdicts else "")
    head = f"{report.board} · robot {report.robot} · {', '.join(report.real_time)}"
    return "\n".join([head, "", header, *rows])


def summary_line(report: RunReport) -> str:
    """What went right and wrong, in one line, and a line for every warning."""
    received = report.joint_commands_received
    motors = "" if received is None else f", {received} received"
    line = (
        f"{report.ticks} ticks at {report.rate_hz:.2f} Hz · {report.missed} missed · "
        f"{report.clipped} clipped · {report.scaled} scaled · {report.stale} held{_why(report)} · "
        f"features {report.features_hz:.1f} Hz · "
        f"{report.joint_commands_sent} joint commands sent{motors}{_base(report)}"
    )
    return "\n".join([line, *(f"warning: {warning}" for warning in report.warnings)])


def _base(report: RunReport) -> str:
    if not report.base_commands_sent:
        return ""
    taken = report.base_commands_received
    told = "" if taken is None else f", {taken} taken"
    return f" · {report.base_commands_sent} base velocities sent{told}"


def _why(report: RunReport) -> str:
    reasons = ", ".join(f"{count} {cause}" for cause, count in report.causes.items())
    return f" ({reasons})" if reasons else ""


def _stage(name: str, report: RunReport, limits: dict[str, Verdict]) -> str:
    label = LABELS[name]
    return _row(label, _ms(report.stages_us[name]), limits.get(label.strip()))


def _ms(microseconds: Spread) -> Spread:
    return Spread(microseconds.p50 / 1e3, microseconds.p99 / 1e3, microseconds.max / 1e3)


def _row(label: str, values: Spread, verdict: Verdict | None) -> str:
    line = f"{label:<18}{values.p50:>9.3f}{values.p99:>9.3f}{values.max:>9.3f}"
    if verdict is None:
        return line
    return f"{line}{verdict.limit:>10g}  {'ok' if verdict.kept else 'MISSED'}"
