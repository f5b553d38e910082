"""Errors of a chunk's columns, each in its own unit: no metre a second stands among radians."""

from __future__ import annotations

import numpy as np

from neon_edge.engine.manifest import Gate, HeadsManifest, Verification
from neon_edge.types import Float32

BASE_UNITS = {"base vx (m/s)": "m/s", "base vy (m/s)": "m/s", "base omega (rad/s)": "rad/s"}
"""Base velocity's columns, as they are called in gates and tables."""
GATES = {"rad": "", "opening": ", openings", "m/s": ", base", "rad/s": ", base turn"}
"""What a gate in each unit is called behind what it gates."""


SHOWN = 3
"""Worst moments on the page."""


def columns_of(heads: HeadsManifest) -> dict[str, str]:
    """Every column of a chunk, in order, and its unit."""
    units = {name: "opening" if name in heads.grippers else "rad" for name in heads.joint_names}
    return units | (BASE_UNITS if heads.base_velocity else {})


def column_gates(
    name: str, found: Float32, wanted: Float32, limits: Verification, heads: HeadsManifest
) -> list[Gate]:
    """One gate a unit, to that unit's limit, on the largest error of (samples, steps, columns)."""
    columns = columns_of(heads)
    errors = np.abs(found - wanted).max(axis=(0, 1))
    gates = []
    for unit, called in GATES.items():
        names = [column for column, each in columns.items() if each == unit]
        if names:
            places = [list(columns).index(column) for column in names]
            gates.append(gate(name + called, errors[places], limits.limit(unit), unit, names))
    return gates


def gate(name: str, errors: Float32, limit: float, unit: str, names: list[str]) -> Gate:
    """The largest of `errors` against `limit`; who set it is named."""
    # A NaN is the worst of all errors, and every comparison with it is false.
    judged = np.where(np.isfinite(errors), errors, np.inf)
    worst = int(judged.argmax())
    measured = float(judged[worst])
    return Gate(name, measured, limit, unit, bool(measured <= limit), names[worst])


def worst_moments(
    found: Float32, wanted: Float32, limits: Verification, heads: HeadsManifest, moments: list[str]
) -> list[tuple[int, str]]:
    """Moments and what to say of each, the worst first, by its worst column's share of the limit.

    (m, steps, columns) twice, m a multiple of the number of `moments`.
    """
    columns = columns_of(heads)
    apart = np.abs(found - wanted)
    apart = np.where(np.isfinite(apart), apart, np.inf)
    errors = apart.reshape(len(moments), -1, len(columns)).max(axis=1)
    shares = errors / np.array([limits.limit(unit) for unit in columns.values()])
    ranked = np.argsort(-shares.max(axis=1), kind="stable")[:SHOWN].tolist()
    said = []
    for at in ranked:
        column = int(shares[at].argmax())
        name, unit = list(columns.items())[column]
        said.append((at, f"{moments[at]}: {name} off by {errors[at, column]:.3g} {unit}"))
    return said


def worst_noise(errors: Float32, moments: list[str]) -> list[tuple[int, str]]:
    """As `worst_moments`, of a diffusion's noise predictions (m, ...)."""
    each = errors.reshape(len(moments), -1).max(axis=1)
    each = np.where(np.isfinite(each), each, np.inf)
    ranked = np.argsort(-each, kind="stable")[:SHOWN].tolist()
    return [(at, f"{moments[at]}: noise off by {each[at]:.3g} half ranges") for at in ranked]
