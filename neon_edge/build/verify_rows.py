"""Gates of the plan that `fresh` runs on heads which can make one row of a chunk alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from neon_edge.build.verify_units import column_gates
from neon_edge.engine.contract import Engine
from neon_edge.engine.manifest import Gate, Manifest
from neon_edge.engine.plan import open_heads_engine
from neon_edge.types import Float32

Play = Callable[[Engine], Float32]
"""An engine -> what it makes of every sample, (samples, rows, columns)."""


def row_gates(plans: Path, manifest: Manifest, play: Play, wanted: Float32) -> list[Gate]:
    """Gates of every row of every chunk (samples, steps, columns), made alone; none without."""
    if manifest.heads.row_part is None:
        return []
    engine = open_heads_engine(plans, manifest.heads, manifest.machine, one_row=True)
    try:
        rows = []
        for at in range(manifest.heads.steps):
            engine.inputs["row"][0] = at
            rows.append(play(engine))
    finally:
        engine.close()
    found = np.concatenate(rows, axis=1)
    return column_gates("one row alone", found, wanted, manifest.verification, manifest.heads)
