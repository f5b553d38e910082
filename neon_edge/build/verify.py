"""Plans against the network they were made from: in pooled features, and in joint radians.

Runs without torch: the bundle carries samples that torch computed when it was made.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from neon_edge.build.samples import Samples, camera_frames, read_samples
from neon_edge.engine.contract import Engine
from neon_edge.engine.manifest import Gate, HeadsManifest, Manifest
from neon_edge.engine.plan import open_engine, open_heads_engine
from neon_edge.errors import GateMissed
from neon_edge.features.backbone import Backbone
from neon_edge.types import Float32

BASE_NAMES = ("base vx (m/s)", "base vy (m/s)", "base omega (rad/s)")


def verify_plans(bundle: Path, plans: Path, manifest: Manifest, threads: int) -> list[Gate]:
    """Measure every plan; raises nothing for a miss (see `require`)."""
    samples = read_samples(
        bundle / manifest.verification.samples, manifest.verification.samples_sha256
    )
    limits = manifest.verification
    pooled = _plan_pooled(plans, manifest, samples, threads)
    heads = open_heads_engine(plans, manifest.heads, manifest.machine)
    try:
        alone = _chunks(heads, samples, samples.pooled)
        whole = _chunks(heads, samples, pooled)
    finally:
        heads.close()
    relative = np.abs(pooled - samples.pooled).max(axis=1) / np.abs(samples.pooled).max()
    return [
        _gate(
            "pooled features", relative, limits.pooled_relative, "relative", _frame_names(samples)
        ),
        _joint_gate("heads alone", alone, samples.chunk, limits.joint_rad, manifest.heads),
        _joint_gate("backbone and heads", whole, samples.chunk, limits.joint_rad, manifest.heads),
    ]


def require(gates: list[Gate]) -> None:
    """Raise `GateMissed` for the first gate that failed, naming what set the figure."""
    for gate in gates:
        if not gate.passed:
            raise GateMissed(
                f"the plans miss their accuracy gate: {gate.name}",
                f"{gate.measured:.3g} {gate.unit} at {gate.worst}, limit {gate.limit:.3g}",
                "use a finer precision in the recipe; these plans will move no motor",
            )


def _plan_pooled(plans: Path, manifest: Manifest, samples: Samples, threads: int) -> Float32:
    engines = [
        open_engine(plans, part, manifest.machine, threads) for part in manifest.backbone.parts
    ]
    backbone = Backbone(manifest.backbone, plans, engines)
    try:
        backbone.instruct(manifest.verification.instruction)
        pooled = np.empty_like(samples.pooled)
        for index, moment in enumerate(samples.frames):
            backbone.see(camera_frames(moment))
            backbone.infer()
            pooled[index] = backbone.pooled
        return pooled
    finally:
        backbone.close()


def _chunks(heads: Engine, samples: Samples, pooled: Float32) -> Float32:
    chunks = np.empty_like(samples.chunk)
    poses = len(samples.chunk) // len(pooled)
    for row in range(len(chunks)):
        np.copyto(heads.inputs["pooled"][0], pooled[row // poses])
        for name, values in samples.inputs.items():
            np.copyto(heads.inputs[name][0], values[row])
        heads.start()
        heads.wait()
        chunks[row] = heads.outputs["chunk"][0]
    return chunks


def _joint_gate(
    name: str, found: Float32, wanted: Float32, limit: float, heads: HeadsManifest
) -> Gate:
    columns = [*heads.joint_names, *(BASE_NAMES if heads.base_velocity else ())]
    return _gate(name, np.abs(found - wanted).max(axis=(0, 1)), limit, "rad", columns)


def _gate(name: str, errors: Float32, limit: float, unit: str, names: list[str]) -> Gate:
    # A NaN is the worst of all errors, and every comparison with it is false.
    judged = np.where(np.isfinite(errors), errors, np.inf)
    worst = int(judged.argmax())
    measured = float(judged[worst])
    return Gate(name, measured, limit, unit, bool(measured <= limit), names[worst])


def _frame_names(samples: Samples) -> list[str]:
    return [f"frame {index}" for index in range(len(samples.frames))]
