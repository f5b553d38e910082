"""Errors of a chunk's columns, each in its own unit: no metre a second stands among radians."""

from __future__ import annotations

import numpy as np

from neon_edge.engine.manifest import Gate, HeadsManifest
from neon_edge.types import Float32

BASE_UNITS = {"base vx (m/s)": "m/s", "base vy (m/s)": "m/s", "base omega (rad/s)": "rad/s"}
"""Base velocity's columns, as they are called in gates and tables."""
GATES = {"rad": "", "opening": ", openings", "m/s": ", base", "rad/s": ", base turn"}
"""What a gate in each unit is called behind what it gates."""


def columns_of(heads: HeadsManifest) -> dict[str, str]:
    """Every column of a chunk, in order, and its unit."""
    units = {name: "opening" if name in heads.grippers else "rad" for name in heads.joint_names}
    return units | (BASE_UNITS if heads.base_velocity else {})


def column_gates(
    name: str, found: Float32, wanted: Float32, limit: float, heads: HeadsManifest
) -> list[Gate]:
    """One gate a unit on the largest error of (samples, steps, columns), all to one `limit`."""
    columns = columns_of(heads)
    errors = np.abs(found - wanted).max(axis=(0, 1))
    # A NaN is the worst of all errors, and every comparison with it is false.
    judged = np.where(np.isfinite(errors), errors, np.inf)
    gates = []
    for unit, called in GATES.items():
        places = [at for at, each in enumerate(columns.values()) if each == unit]
        if places:
            worst = max(places, key=lambda at: float(judged[at]))
            measured = float(judged[worst])
            column = list(columns)[worst]
            gates.append(
                Gate(name + called, measured, limit, unit, bool(measured <= limit), column)
            )
    return gates
