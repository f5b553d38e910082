"""Plans against the network they were made from: in pooled features, and in joint radians.

Runs without torch: the bundle carries samples that torch computed when it was made.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from neon_edge.build.placed import scratch
from neon_edge.build.samples import Samples, camera_frames, read_samples
from neon_edge.build.turns import NotYet, Turns
from neon_edge.build.verify_diffusion import undenoised
from neon_edge.build.verify_guided import guided_gates
from neon_edge.build.verify_tokens import answered, chunks_gate, without_none
from neon_edge.build.verify_units import column_gates, columns_of
from neon_edge.engine.contract import Engine
from neon_edge.engine.denoise import DenoisingEngine
from neon_edge.engine.files import sha256_file
from neon_edge.engine.manifest import (
    FILE_NAME,
    AudioGeometry,
    ErrorRow,
    Gate,
    HeadsManifest,
    Manifest,
    Part,
    Verification,
    read_manifest,
)
from neon_edge.engine.plan import open_engine, open_heads_engine
from neon_edge.engine.spelling import SpellingEngine
from neon_edge.errors import ConfigWrong, GateMissed
from neon_edge.features.backbone import Backbone
from neon_edge.features.streams import StreamedBackbone, open_features
from neon_edge.types import AudioWindow, Float32, UInt8

ROWS_HZ = 50
"""The rate at which rows of a chunk follow one another on a robot."""


def verify_plans(bundle: Path, plans: Path, manifest: Manifest, threads: int) -> list[Gate]:
    """Measure every plan; raises nothing for a miss (see `require`)."""
    return measure_plans(bundle, plans, manifest, threads)[0]


class Measured(NamedTuple):
    """Gates, the error of every joint and of the features, and the frames that fared worst."""

    gates: list[Gate]
    errors: list[ErrorRow]
    frames: dict[str, UInt8]
    """By caption, the worst first."""


def measure_plans(
    bundle: Path, plans: Path, manifest: Manifest, threads: int
) -> tuple[list[Gate], list[ErrorRow]]:
    """Gates, and the error of every joint and of the pooled features."""
    found = measured(bundle, plans, manifest, threads)
    return found.gates, found.errors


def measured(bundle: Path, plans: Path, manifest: Manifest, threads: int) -> Measured:
    """Run every plan in `plans` on the samples of its `bundle`."""
    samples = read_samples(
        bundle / manifest.verification.samples, manifest.verification.samples_sha256
    )
    limits = manifest.verification
    pooled = plan_pooled(plans, manifest, samples, threads)
    heads = open_heads_engine(plans, manifest.heads, manifest.machine)
    try:
        alone = _chunks(heads, samples, samples.pooled)
        whole = _chunks(heads, samples, pooled)
        wanted = samples.chunk
        more = []
        if isinstance(heads, DenoisingEngine):
            first, second = (undenoised(heads, samples, seen) for seen in (samples.pooled, pooled))
            alone, whole, wanted = first.chunk, second.chunk, _of_diffusion(samples.undenoised)
            more = [
                _noise_gate("heads alone, noise", first.predicted, samples, limits),
                _noise_gate("backbone and heads, noise", second.predicted, samples, limits),
            ]
        if isinstance(heads, SpellingEngine):
            more = [chunks_gate(wanted)]
            alone, whole = answered(alone, wanted), answered(whole, wanted)
            wanted = without_none(wanted)
    finally:
        heads.close()
    gates = [
        *_pooled_gates(pooled, samples, limits),
        *more,
        *guided_gates(
            plans, manifest, lambda e: _chunks(e, samples, samples.pooled), samples.chunk
        ),
        *column_gates("heads alone", alone, wanted, limits.joint_rad, manifest.heads),
        *column_gates("backbone and heads", whole, wanted, limits.joint_rad, manifest.heads),
    ]
    rows = error_rows(whole, wanted, manifest.heads)
    if limits.joint_p99_rad > 0:
        errors = np.array([row.p99 for row in rows], np.float32)
        names = [row.name for row in rows]
        gates.append(_gate("backbone and heads, p99", errors, limits.joint_p99_rad, "rad", names))
    rows.append(_spread("pooled features, 1 - cosine", lost(pooled, samples.pooled), ""))
    return Measured(gates, rows, _worst_frames(whole, wanted, samples))


def find_bundle(plans: Path, manifest: Manifest) -> Path:
    """The bundle beside `plans` that holds their samples. Raises `ConfigWrong`."""
    wanted = manifest.verification.samples_sha256
    place = plans.resolve().parent
    for candidate in sorted(place.glob(f"*/{manifest.verification.samples}")):
        if not (candidate.parent / FILE_NAME).is_file():
            # A bundle that is still being made.
            continue
        beside = read_manifest(candidate.parent)
        same = beside.backbone.model_hash == manifest.backbone.model_hash
        if same and sha256_file(candidate) == wanted:
            return candidate.parent
    raise ConfigWrong(
        f"the bundle that {plans.name} was compiled from is not there",
        f"looked beside it, in {place}",
        "name it with --bundle",
    )


def _worst_frames(found: Float32, wanted: Float32, samples: Samples) -> dict[str, UInt8]:
    """The three moments of largest joint error, the cameras of each side by side."""
    errors = np.abs(found - wanted).reshape(len(samples.frames), -1).max(axis=1)
    errors = np.where(np.isfinite(errors), errors, np.inf)
    return {
        f"frame {index}: largest joint error {errors[index]:.3g} rad": np.concatenate(
            list(samples.frames[index]), axis=1
        )
        for index in np.argsort(-errors)[:3].tolist()
    }


def error_rows(found: Float32, wanted: Float32, heads: HeadsManifest) -> list[ErrorRow]:
    """(samples, steps, action) twice → the error of every joint, rad (m/s, rad/s for the base)."""
    columns, errors = columns_of(heads).items(), found - wanted
    return [_column_row(name, unit, errors[:, :, at]) for at, (name, unit) in enumerate(columns)]


def _column_row(name: str, unit: str, errors: Float32) -> ErrorRow:
    if unit != "rad":
        return _spread(name, np.abs(errors), unit)
    row = _spread(name, np.abs(errors), "rad")
    if errors.shape[1] < 2:
        return row
    steps = _spread(name, np.abs(np.diff(errors, axis=1)) * ROWS_HZ, "rad/s")
    return replace(row, step_max=steps.max)


def lost(found: Float32, wanted: Float32) -> Float32:
    """1 - cosine of every row of (samples, width); 1 where there is no number."""
    sizes = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines = (found.astype(np.float64) * wanted).sum(axis=1) / sizes
    return (1 - np.where(np.isfinite(cosines), cosines, 0)).astype(np.float32)


def _spread(name: str, errors: Float32, unit: str) -> ErrorRow:
    flat = np.where(np.isfinite(errors), errors, np.inf).reshape(-1)
    p50, p99 = (float(np.quantile(flat, q, method="higher")) for q in (0.5, 0.99))
    return ErrorRow(name, p50, p99, float(flat.max()), unit)


def _pooled_gates(pooled: Float32, samples: Samples, limits: Verification) -> list[Gate]:
    names = _frame_names(samples)
    if limits.cosine > 0:
        away = lost(pooled, samples.pooled)
        return [_gate("pooled features", away, 1 - limits.cosine, "1 - cosine", names)]
    relative = np.abs(pooled - samples.pooled).max(axis=1) / np.abs(samples.pooled).max()
    return [_gate("pooled features", relative, limits.pooled_relative, "relative", names)]


def require(gates: list[Gate]) -> None:
    """Raise `GateMissed` for the first gate that failed, naming what set the figure."""
    for gate in gates:
        if not gate.passed:
            raise GateMissed(
                f"the plans miss their accuracy gate: {gate.name}",
                f"{gate.measured:.3g} {gate.unit} at {gate.worst}, limit {gate.limit:.3g}",
                "use a finer precision in the recipe; these plans will move no motor",
            )


def plan_pooled(plans: Path, manifest: Manifest, samples: Samples, threads: int) -> Float32:
    """What the plans in `plans` make of every sample, (samples, width). One part open at a time."""

    def opened(part: Part) -> Engine:
        return open_engine(plans, part, manifest.machine, threads)

    with scratch(plans) as kept:
        turns = Turns(manifest.backbone.parts, opened, kept)
        backbone = open_features(manifest.backbone, plans, turns.engines)
        backbone.instruct(manifest.verification.instruction)
        pooled = np.full_like(samples.pooled, np.nan)
        try:
            for _ in turns.engines:
                if not _round(backbone, manifest.backbone.audio, samples, pooled):
                    break
                turns.next()
        finally:
            turns.next()
    return pooled


def _round(
    backbone: Backbone | StreamedBackbone,
    audio: AudioGeometry | None,
    samples: Samples,
    pooled: Float32,
) -> bool:
    """Every sample as far as it comes; whether any needs a part whose turn has not come.

    Samples are whole windows, so what came before one changes nothing of it.
    """
    waiting = False
    for index, moment in enumerate(samples.frames):
        backbone.see(camera_frames(moment))
        if samples.sounds is not None and audio is not None:
            # Moments lie so far apart that every branch is due at each.
            at_ns = (index + 1) * 10**12
            backbone.hear(AudioWindow(samples.sounds[index], audio.rate_hz, at_ns))
        try:
            backbone.infer()
        except NotYet:
            waiting = True
            continue
        pooled[index] = backbone.pooled
    return waiting


def _chunks(heads: Engine, samples: Samples, pooled: Float32) -> Float32:
    chunks = np.empty_like(samples.chunk)
    poses = len(samples.chunk) // len(pooled)
    for row in range(len(chunks)):
        np.copyto(heads.inputs["pooled"][0], pooled[row // poses])
        for name, values in samples.inputs.items():
            np.copyto(heads.inputs[name], values[row].reshape(heads.inputs[name].shape))
        heads.start()
        heads.wait()
        chunks[row] = heads.outputs["chunk"][0]
    return chunks


def _noise_gate(name: str, found: Float32, samples: Samples, limits: Verification) -> Gate:
    """In half ranges of a joint, to the limit that joints have in rad; the worst step is named."""
    errors = np.abs(found - _of_diffusion(samples.predicted)).max(axis=(0, 2, 3))
    steps = [f"denoising step {at}" for at in range(len(errors))]
    return _gate(name, errors, limits.joint_rad, "half ranges", steps)


def _of_diffusion(stored: Float32 | None) -> Float32:
    if stored is None:
        raise ConfigWrong(
            "this bundle's samples do not say what its diffusion head predicts",
            "made before such heads were gated on their noise predictions",
            "make the bundle again",
        )
    return stored


def _gate(name: str, errors: Float32, limit: float, unit: str, names: list[str]) -> Gate:
    # A NaN is the worst of all errors, and every comparison with it is false.
    judged = np.where(np.isfinite(errors), errors, np.inf)
    worst = int(judged.argmax())
    measured = float(judged[worst])
    return Gate(name, measured, limit, unit, bool(measured <= limit), names[worst])


def _frame_names(samples: Samples) -> list[str]:
    return [f"frame {index}" for index in range(len(samples.frames))]
