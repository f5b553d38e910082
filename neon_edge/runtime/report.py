"""What a run amounts to: one structure behind `--json`, the table and the budget."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from msgspec import Struct, structs

from neon_edge.telemetry.stats import Percentiles, percentiles, rate_hz
from neon_edge.types import Float64

Rows = npt.NDArray[np.void]
Times = npt.NDArray[np.int64]

PASS_STAGES = ("capture", "preprocess", "backbone", "publish")
TICK_STAGES = ("read", "slot", "heads", "safety", "write")


class Spread(Struct, frozen=True):
    """Three order statistics."""

    p50: float
    p99: float
    max: float


class Lateness(Struct, frozen=True):
    """Start minus due of every tick, µs."""

    p50: float
    p99: float
    p999: float
    max: float


class RunReport(Struct, frozen=True):
    """One run; keys are a promise to whoever reads `--json`."""

    robot: str
    board: str
    real_time: list[str]
    ticks: int
    missed: int
    clipped: int
    stale: int
    """Ticks on which the robot held, damped or was off, for whatever cause."""
    scaled: int
    """Ticks on which motion was scaled down."""
    causes: dict[str, int]
    rate_hz: float
    lateness_us: Lateness
    stages_us: dict[str, Spread]
    """µs: capture to publish once a backbone pass, read to tick once a tick."""
    feature_age_ms: Spread
    joint_age_ms: Spread
    backbone_passes: int
    features_hz: float
    control_restarts: int
    backbone_restarts: int
    joint_commands_sent: int
    """By ticks; what enabling took stands in neither count."""
    joint_commands_received: int | None
    """By emulated motors, counted in their own process; null where motors are real."""
    base_commands_sent: int
    """Velocities, those of bring-up included; 0 for a robot without a base."""
    rows_lost: int
    features_refused: dict[str, int]
    warnings: list[str]
    base_commands_received: int | None = None
    """By an emulated controller; null where it is real, or there is none."""


def with_received(report: RunReport, joints: int, base: int) -> RunReport:
    """The same run, and what emulated motors and an emulated base counted of it."""
    taken = base if report.base_commands_sent else None
    return structs.replace(report, joint_commands_received=joints, base_commands_received=taken)


class Figures(Struct, frozen=True):
    """The part of a report that is percentiles of durations."""

    lateness_us: Lateness
    stages_us: dict[str, Spread]
    feature_age_ms: Spread
    joint_age_ms: Spread


def spread(values: Float64) -> Spread:
    """p50, p99 and maximum; zeros where there is nothing."""
    return _spread(percentiles(values), 1.0)


def lateness(rows: Rows) -> Lateness:
    """Start minus due of every row, µs; zeros for none."""
    return _lateness(percentiles(rows["start_ns"] - rows["due_ns"]))


def exact(ticks: Rows, passes: Rows) -> Figures:
    """Of rows that are all there; `Tally` has the same of runs of any length."""
    times = pass_times(passes) | tick_times(ticks)
    return figures({name: percentiles(values) for name, values in times.items()})


def figures(times: Mapping[str, Percentiles]) -> Figures:
    """From percentiles in ns by the names of `pass_times` and `tick_times`."""
    stages = (*PASS_STAGES, *TICK_STAGES, "tick")
    return Figures(
        lateness_us=_lateness(times["lateness"]),
        stages_us={name: _spread(times[name], 1e3) for name in stages},
        feature_age_ms=_spread(times["feature age"], 1e6),
        joint_age_ms=_spread(times["joint age"], 1e6),
    )


def pass_times(passes: Rows) -> dict[str, Times]:
    """Durations in ns of every backbone pass, by stage."""
    return {name: passes[f"{name}_ns"] for name in PASS_STAGES}


def tick_times(ticks: Rows, before: Rows | None = None) -> dict[str, Times]:
    """Durations in ns of every tick, by what they are; `before` ends with the tick before these."""
    times: dict[str, Times] = {name: ticks[f"{name}_ns"] for name in TICK_STAGES}
    times["tick"] = ticks["end_ns"] - ticks["start_ns"]
    times["lateness"] = ticks["start_ns"] - ticks["due_ns"]
    fed = ticks[ticks["features_ns"] > 0]
    # Of the vision behind each command that followed any.
    times["feature age"] = fed["start_ns"] - fed["features_ns"]
    times["joint age"] = _joint_age(ticks if before is None else np.append(before[-1:], ticks))
    return times


def _joint_age(ticks: Rows) -> Times:
    """Age, at most, of the oldest joint's state at the start of each tick but the first.

    A motor's state was sampled after the previous tick began to write, which asks for it; a state
    that did not come with this tick's read is as old as its arrival says.
    """
    begun = ticks["start_ns"][1:]
    asked = ticks["end_ns"][:-1] - ticks["write_ns"][:-1]
    arrived = ticks["joints_ns"][1:]
    # A control process that has just started has heard from nobody yet.
    heard = arrived > 0
    age: Times = (begun - np.where(arrived >= begun, asked, arrived))[heard]
    return age


def rate(ticks: Rows) -> float:
    """Ticks a second between the first and the last."""
    return round(rate_hz(ticks["start_ns"]), 3)


def _spread(found: Percentiles, unit: float) -> Spread:
    if np.isnan(found.max):
        return Spread(0.0, 0.0, 0.0)
    return Spread(*(round(value / unit, 3) for value in (found.p50, found.p99, found.max)))


def _lateness(found: Percentiles) -> Lateness:
    if np.isnan(found.max):
        return Lateness(0.0, 0.0, 0.0, 0.0)
    return Lateness(*(round(value / 1e3, 1) for value in found))
