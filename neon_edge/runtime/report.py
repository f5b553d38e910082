"""What a run amounts to: one structure behind `--json`, the table and the budget."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from msgspec import Struct, structs

from neon_edge.safety.watch import Cause
from neon_edge.telemetry.stats import percentiles, rate_hz
from neon_edge.types import Rung

Rows = npt.NDArray[np.void]

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


def spread(values: npt.NDArray[np.float64]) -> Spread:
    """p50, p99 and maximum; zeros where there is nothing."""
    if len(values) == 0:
        return Spread(0.0, 0.0, 0.0)
    found = percentiles(values)
    return Spread(round(found.p50, 3), round(found.p99, 3), round(found.max, 3))


def lateness(rows: Rows) -> Lateness:
    """Start minus due of every row, µs; zeros for none."""
    if len(rows) == 0:
        return Lateness(0.0, 0.0, 0.0, 0.0)
    late = (rows["start_ns"] - rows["due_ns"]) / 1e3
    return Lateness(*(round(value, 1) for value in percentiles(late)))


def stages(ticks: Rows, passes: Rows) -> dict[str, Spread]:
    """Every stage's spread in µs, in the order of the data."""
    table = {name: spread(passes[f"{name}_ns"] / 1e3) for name in PASS_STAGES}
    table |= {name: spread(ticks[f"{name}_ns"] / 1e3) for name in TICK_STAGES}
    table["tick"] = spread((ticks["end_ns"] - ticks["start_ns"]) / 1e3)
    return table


def missed(ticks: Rows) -> int:
    """Periods of the phase grid on which no tick ran."""
    if len(ticks) == 0:
        return 0
    numbers = ticks["number"]
    # A control process that was started again counts from 0 again, on a grid of its own.
    ends = np.append(np.flatnonzero(np.diff(numbers) <= 0), len(numbers) - 1)
    return int((numbers[ends] + 1).sum()) - len(ticks)


def rate(ticks: Rows) -> float:
    """Ticks a second between the first and the last."""
    return round(rate_hz(ticks["start_ns"]), 3)


def features_rate(passes: Rows) -> float:
    """Published features a second."""
    published = passes[passes["sequence"] > 0]
    return round(rate_hz(published["captured_ns"]), 3)


def causes(ticks: Rows) -> dict[str, int]:
    """Ticks by why the robot was not simply running."""
    return {
        cause.name.lower(): count
        for cause in Cause
        if cause is not Cause.NONE and (count := int((ticks["cause"] == cause).sum()))
    }


def feature_age(ticks: Rows) -> Spread:
    """Age in ms of the vision behind each command that followed any."""
    fed = ticks[ticks["features_ns"] > 0]
    return spread((fed["start_ns"] - fed["features_ns"]) / 1e6)


def joint_age(ticks: Rows) -> Spread:
    """Age in ms, at most, of the oldest joint's state at the start of each tick.

    A motor's state was sampled after the previous tick began to write, which asks for it; a state
    that did not come with this tick's read is as old as its arrival says.
    """
    if len(ticks) < 2:
        return spread(np.zeros(0))
    begun = ticks["start_ns"][1:]
    asked = ticks["end_ns"][:-1] - ticks["write_ns"][:-1]
    arrived = ticks["joints_ns"][1:]
    # A control process that has just started has heard from nobody yet.
    heard = arrived > 0
    return spread((begun - np.where(arrived >= begun, asked, arrived))[heard] / 1e6)


def held(ticks: Rows) -> int:
    """Ticks on HOLD or a graver rung."""
    return int((ticks["rung"] >= Rung.HOLD).sum())


def scaled(ticks: Rows) -> int:
    """Ticks on which motion was scaled down."""
    return int((ticks["rung"] == Rung.SCALE).sum())
