"""Gates of heads that diffuse: their noise predictions, and all of the chunk but the diffusion.

Upstream's sampler divides its first prediction's error by 1e-5, so that chunks of two exact plans
may differ by a whole range, and most end at a limit: a gate on them says nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from neon_edge.build.samples import Samples
from neon_edge.engine.denoise import DenoisingEngine
from neon_edge.types import Float32

SATURATES = (
    "WARNING: these heads sample by diffusion, and upstream's sampler divides by 1e-5 at its first "
    "step: unless training made the first prediction exact, chunks saturate at the joints' limits. "
    "Try them on a simulated robot first; flow heads have no such step."
)


class Found(NamedTuple):
    """What a plan makes of the samples' noise."""

    predicted: Float32
    """(m, denoise steps, steps, action)"""
    chunk: Float32
    """(m, steps, action)"""


def undenoised(heads: DenoisingEngine, samples: Samples, pooled: Float32) -> Found:
    """Run the plans on every sample, with `pooled` (n, width) in place of the samples' own."""
    poses = len(samples.chunk) // len(pooled)
    predicted, chunks = [], []
    for row in range(len(samples.chunk)):
        np.copyto(heads.inputs["pooled"][0], pooled[row // poses])
        for name, values in samples.inputs.items():
            np.copyto(heads.inputs[name], values[row].reshape(heads.inputs[name].shape))
        noise, chunk = heads.undenoised()
        predicted.append(noise)
        chunks.append(chunk[0])
    return Found(np.stack(predicted), np.stack(chunks))
