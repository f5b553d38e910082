"""Plans against the network they were made from: in pooled features, and in joint radians.

Runs without torch: the bundle carries samples that torch computed when it was made.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from neon_edge.build.placed import scratch
from neon_edge.build.samples import Samples, Seen, camera_frames, read_samples
from neon_edge.build.turns import NotYet, Turns
from neon_edge.build.verify_features import features_gates, lost
from neon_edge.build.verify_heads import WHOLE, Compared, compared
from neon_edge.build.verify_units import columns_of, gate, worst_moments, worst_noise
from neon_edge.engine.contract import Engine
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
from neon_edge.engine.plan import open_engine
from neon_edge.errors import ConfigWrong, GateMissed
from neon_edge.features.backbone import Backbone
from neon_edge.features.streams import StreamedBackbone, open_features
from neon_edge.types import AudioWindow, Float32, UInt8

ROWS_HZ = 50
"""The rate at which rows of a chunk follow one another on a robot."""
NOISE = "noise of the diffusion"
"""What a row is called that stands where no error in radians would mean anything."""


class Measured(NamedTuple):
    """Gates, the error of every joint and of the features, and the frames that fared worst."""

    gates: list[Gate]
    errors: list[ErrorRow]
    frames: dict[str, UInt8]
    """By caption, the worst first."""


def measured(
    bundle: Path, plans: Path, manifest: Manifest, threads: int, tuning: bool = False
) -> Measured:
    """Run every plan in `plans` on the samples of its `bundle`; a miss is in the gates.

    Quantised plans are judged on those samples that did not decide what stays in float, or, with
    `tuning`, on the others. Raises `ConfigWrong` where the bundle is not theirs.
    """
    limits = manifest.verification
    samples = read_samples(bundle / limits.samples, limits.samples_sha256)
    if manifest.backbone.quantised:
        samples = samples.half(tuning)
    seen = plan_features(plans, manifest, samples, threads)
    pooled, heads = seen.pooled, compared(plans, manifest, samples, seen)
    rows = error_rows(heads.whole, heads.wanted, manifest.heads) if heads.moves else []
    features = features_gates(seen, samples, limits)
    gates = [*features, *heads.gates, *_joint_gates(rows, limits)]
    if heads.noise is not None:
        rows.append(_spread(NOISE, heads.noise, "half ranges"))
    away = lost(pooled, samples.pooled)
    row = _spread("pooled features, 1 - cosine", away, "")
    rows.append(replace(row, mean=float(away.astype(np.float64).mean())))
    return Measured(gates, rows, _worst_frames(heads, manifest, samples))


def _joint_gates(rows: list[ErrorRow], limits: Verification) -> list[Gate]:
    """Of what is an angle: how far off it mostly is, and how fast that changes."""
    joints = [row for row in rows if row.unit == "rad"]
    gates = []
    if limits.joint_p99_rad > 0 and joints:
        errors = np.array([row.p99 for row in joints], np.float32)
        names = [row.name for row in joints]
        gates.append(gate(f"{WHOLE}, p99", errors, limits.joint_p99_rad, "rad", names))
    moved = {row.name: row.step_max for row in joints if row.step_max is not None}
    if limits.joint_rad_s > 0 and moved:
        errors = np.array(list(moved.values()), np.float32)
        name = f"{WHOLE}, between ticks"
        gates.append(gate(name, errors, limits.joint_rad_s, "rad/s", list(moved)))
    return gates


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


def _worst_frames(heads: Compared, manifest: Manifest, samples: Samples) -> dict[str, UInt8]:
    """The three moments of largest error, the cameras of each side by side."""
    if heads.moves:
        found, wanted = heads.whole, heads.wanted
        limits, stated = manifest.verification, manifest.heads
        said = worst_moments(found, wanted, limits, stated, samples.names)
    else:
        assert heads.noise is not None
        said = worst_noise(heads.noise, samples.names)
    return {caption: _beside(samples.frames[at]) for at, caption in said}


def _beside(pictures: tuple[UInt8, ...]) -> UInt8:
    """Pictures of any sizes in a row, black below the lower ones."""
    height = max(picture.shape[0] for picture in pictures)
    wide: UInt8 = np.zeros((height, sum(p.shape[1] for p in pictures), 3), np.uint8)
    at = 0
    for picture in pictures:
        wide[: picture.shape[0], at : at + picture.shape[1]] = picture
        at += picture.shape[1]
    return wide


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


def _spread(name: str, errors: Float32, unit: str) -> ErrorRow:
    flat = np.where(np.isfinite(errors), errors, np.inf).reshape(-1)
    p50, p99 = (float(np.quantile(flat, q, method="higher")) for q in (0.5, 0.99))
    return ErrorRow(name, p50, p99, float(flat.max()), unit)


def require(gates: list[Gate]) -> None:
    """Raise `GateMissed` for the first gate that failed, naming what set the figure."""
    for one in gates:
        if not one.passed:
            raise GateMissed(
                f"the plans miss their accuracy gate: {one.name}",
                f"{one.measured:.3g} {one.unit} at {one.worst}, limit {one.limit:.3g}",
                "use a finer precision in the recipe; these plans will move no motor",
            )


def plan_features(plans: Path, manifest: Manifest, samples: Samples, threads: int) -> Seen:
    """What the plans in `plans` make of every sample. One part open at a time."""

    def opened(part: Part) -> Engine:
        return open_engine(plans, part, manifest.machine, threads)

    with scratch(plans) as kept:
        turns = Turns(manifest.backbone.parts, opened, kept)
        backbone = open_features(manifest.backbone, plans, turns.engines)
        pooled, tokens = np.full_like(samples.pooled, np.nan), dict[int, Float32]()
        try:
            for _ in turns.engines:
                if not _round(backbone, manifest.backbone.audio, samples, pooled, tokens):
                    break
                turns.next()
        finally:
            turns.next()
    return Seen(pooled, [tokens[at] for at in sorted(tokens)] or None)


def _round(
    backbone: Backbone | StreamedBackbone,
    audio: AudioGeometry | None,
    samples: Samples,
    pooled: Float32,
    tokens: dict[int, Float32],
) -> bool:
    """Every sample as far as it comes; whether any needs a part whose turn has not come.

    Samples are whole windows, so what came before one changes nothing of it.
    """
    waiting = False
    for index, moment in enumerate(samples.frames):
        backbone.instruct(samples.instructions[index])
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
        if backbone.tokens is not None:
            tokens[index] = backbone.tokens.copy()
    return waiting
