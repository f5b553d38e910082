"""Gates of the plans that `rtc` and `prefix` run: a flow's steps one by one, and their pull-back.

The steps are held to the chunks of the network like any other plan. The pull-back has no chunk of
its own; it is held to central differences of the velocity plan beside it, <e, Dv d> = <pull(e), d>,
so that the machine that verifies needs no autograd.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from neon_edge.build.verify_units import column_gates
from neon_edge.engine.contract import Engine
from neon_edge.engine.euler import EulerEngine, Pull
from neon_edge.engine.manifest import Gate, Manifest
from neon_edge.engine.plan import open_heads_engine
from neon_edge.types import Float32, Float64

STRIDE = 1e-2
"""Of the differences: float32 rounds a velocity of about 1 to 1e-5 of such a slope."""
PULL_BACK = 0.02
"""Limit of the pull-back's error, relative: differences are wrong by about 0.001 where a ReLU turns
within a stride; a forgotten norm or factor is wrong by tenths."""
DIRECTIONS = 4

Play = Callable[[Engine], Float32]
"""An engine -> its chunk for every sample, (samples, steps, columns)."""


def guided_gates(plans: Path, manifest: Manifest, play: Play, wanted: Float32) -> list[Gate]:
    """Gates of a flow's guided parts; none for other heads, and for plans without them."""
    if not manifest.heads.guided_parts:
        return []
    engine = open_heads_engine(plans, manifest.heads, manifest.machine, guided=True)
    assert isinstance(engine, EulerEngine)
    probe = Differences(engine, seed=manifest.verification.samples_sha256)
    try:
        found = play(engine)
        engine.guide = probe
        play(engine)
    finally:
        engine.close()
    worst = probe.worst if np.isfinite(probe.worst) else float("inf")
    return [
        *column_gates("heads in steps", found, wanted, manifest.verification, manifest.heads),
        Gate(
            "pull-back of a step", worst, PULL_BACK, "relative",
            bool(worst <= PULL_BACK), f"denoising step {probe.worst_step}",
        ),
    ]  # fmt: skip


class Differences:
    """A guide that bends nothing and compares the pull-back with slopes, where the flow passes."""

    def __init__(self, engine: EulerEngine, seed: str) -> None:
        self._engine = engine
        self._chance = np.random.default_rng(int(seed[:8] or "0", 16))
        self._step = -1
        self.worst = 0.0
        """Largest error of a pull-back over the size of what it should be."""
        self.worst_step = 0

    def begin(self, base: Float32, gain: Float32, x: Float32) -> None:
        """A chunk begins."""
        self._step = -1

    def correction(self, x: Float32, velocity: Float32, time: float, pull: Pull) -> Float32:
        """Nothing, (1, steps, columns); `worst` knows more."""
        self._step += 1
        at = x.copy()
        errors = self._chance.standard_normal((DIRECTIONS, *x.shape)).astype(np.float32)
        ways = self._chance.standard_normal((DIRECTIONS, *x.shape)).astype(np.float32)
        slopes = [self._slope(at, way) for way in ways]
        pulled = [pull(error).astype(np.float64).copy() for error in errors]
        wanted = np.array([[np.vdot(e.astype(np.float64), s) for s in slopes] for e in errors])
        found = np.array([[np.vdot(p, w.astype(np.float64)) for w in ways] for p in pulled])
        # One product may be near 0 by chance; all of them together are not.
        away = float(np.linalg.norm(found - wanted) / max(float(np.linalg.norm(wanted)), 1e-9))
        if not away <= self.worst:
            self.worst, self.worst_step = away, self._step
        return np.zeros_like(velocity)

    def _slope(self, at: Float32, way: Float32) -> Float64:
        stride = np.float32(STRIDE / max(1.0, float(np.abs(way).max())))
        ahead = self._engine.velocity_at(at + stride * way).astype(np.float64)
        behind = self._engine.velocity_at(at - stride * way).astype(np.float64)
        return (ahead - behind) / (2.0 * float(stride))
