"""What the heads make of the samples, from the network's features and from the plans' own.

Chunks are compared, but for what says nothing in radians: see `verify_diffusion`, `verify_tokens`.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from neon_edge.build.samples import Samples, Seen
from neon_edge.build.verify_diffusion import undenoised
from neon_edge.build.verify_guided import guided_gates
from neon_edge.build.verify_rows import row_gates
from neon_edge.build.verify_tokens import answered, chunks_gate, without_none
from neon_edge.build.verify_units import column_gates, gate
from neon_edge.engine.contract import Engine
from neon_edge.engine.denoise import DenoisingEngine
from neon_edge.engine.manifest import Gate, HeadsManifest, Manifest, Verification
from neon_edge.engine.plan import open_heads_engine
from neon_edge.engine.spelling import SpellingEngine
from neon_edge.errors import ConfigWrong
from neon_edge.types import Float32

ALONE, WHOLE = "heads alone", "backbone and heads"
APART = ", all but the diffusion"
"""Behind a gate's name where a chunk is compared with the noise in the diffusion's place."""


class Compared(NamedTuple):
    """Chunks (m, steps, action) of plans from end to end, what they should be, and gates."""

    whole: Float32
    wanted: Float32
    gates: list[Gate]
    noise: Float32 | None = None
    """Error of a diffusion's noise predictions (m, ...), half ranges."""
    moves: bool = True
    """Whether the features move what `whole` is: a lone dit without its denoising stands still."""


def compared(plans: Path, manifest: Manifest, samples: Samples, seen: Seen) -> Compared:
    """Run the heads' plans on every sample twice: with its own features, and with `seen`."""
    heads = open_heads_engine(plans, manifest.heads, manifest.machine)
    try:
        if isinstance(heads, DenoisingEngine):
            found = _diffused(heads, manifest.heads, samples, seen, manifest.verification)
        else:
            found = _made(heads, manifest.heads, samples, seen, manifest.verification)
    finally:
        heads.close()

    def play(engine: Engine) -> Float32:
        return _chunks(engine, samples, samples.seen)

    guided = guided_gates(plans, manifest, play, samples.chunk)
    rows = row_gates(plans, manifest, play, samples.chunk)
    return found._replace(gates=found.gates + guided + rows)


def _made(
    heads: Engine,
    stated: HeadsManifest,
    samples: Samples,
    seen: Seen,
    limits: Verification,
) -> Compared:
    alone, whole = (_chunks(heads, samples, each) for each in (samples.seen, seen))
    wanted, gates = samples.chunk, []
    if isinstance(heads, SpellingEngine):
        gates = [chunks_gate(wanted)]
        alone, whole = answered(alone, wanted), answered(whole, wanted)
        wanted = without_none(wanted)
    gates += column_gates(ALONE, alone, wanted, limits, stated)
    gates += column_gates(WHOLE, whole, wanted, limits, stated)
    return Compared(whole, wanted, gates)


def _diffused(
    heads: DenoisingEngine,
    stated: HeadsManifest,
    samples: Samples,
    seen: Seen,
    limits: Verification,
) -> Compared:
    alone, whole = (undenoised(heads, samples, each.pooled) for each in (samples.seen, seen))
    wanted, predicted = (_of_diffusion(a) for a in (samples.undenoised, samples.predicted))
    moves = stated.head_type != "dit"
    gates = [
        _noise_gate(f"{ALONE}, noise", alone.predicted, predicted, limits),
        _noise_gate(f"{WHOLE}, noise", whole.predicted, predicted, limits),
        *column_gates(ALONE + APART, alone.chunk, wanted, limits, stated),
    ]
    if moves:
        gates += column_gates(WHOLE + APART, whole.chunk, wanted, limits, stated)
    return Compared(whole.chunk, wanted, gates, np.abs(whole.predicted - predicted), moves)


def _chunks(heads: Engine, samples: Samples, seen: Seen) -> Float32:
    chunks = np.empty((len(samples.chunk), *heads.outputs["chunk"].shape[1:]), np.float32)
    poses = len(samples.chunk) // len(seen.pooled)
    for row in range(len(chunks)):
        seen.put(row // poses, heads)
        for name, values in samples.inputs.items():
            np.copyto(heads.inputs[name], values[row].reshape(heads.inputs[name].shape))
        heads.start()
        heads.wait()
        chunks[row] = heads.outputs["chunk"][0]
    return chunks


def _noise_gate(name: str, found: Float32, wanted: Float32, limits: Verification) -> Gate:
    """In half ranges of a joint, to the limit that joints have in rad; the worst step is named."""
    errors = np.abs(found - wanted).max(axis=(0, 2, 3))
    steps = [f"denoising step {at}" for at in range(len(errors))]
    return gate(name, errors, limits.joint_rad, "half ranges", steps)


def _of_diffusion(stored: Float32 | None) -> Float32:
    if stored is None:
        raise ConfigWrong(
            "this bundle's samples do not say what its diffusion head predicts",
            "made before such heads were gated on their noise predictions",
            "make the bundle again",
        )
    return stored
