"""Gates of heads that write tokens: what is no chunk has no error, and must be none on both sides.

One token read differently is another motion, so chunks are compared in radians as all others are.
Where neither the network nor the plan writes a chunk, the robot holds either way: that is agreement
and not a measurement, and so enough of the samples must be chunks.
"""

from __future__ import annotations

import numpy as np

from neon_edge.engine.manifest import Gate
from neon_edge.types import Float32

REFUSED = 0.75
"""Share of samples that may be no chunk: the rest is what the gates measure."""


def chunks_gate(wanted: Float32) -> Gate:
    """Of the network's own answers (m, steps, action)."""
    refused = float(_nothing(wanted).mean())
    return Gate(
        "samples without a chunk", refused, REFUSED, "share", refused <= REFUSED, "the network"
    )


def answered(found: Float32, wanted: Float32) -> Float32:
    """`found` with `wanted`'s NaN replaced by nothing wrong, where both are no chunk.

    (m, steps, action) twice; a chunk where there should be none becomes NaN, the worst of errors.
    """
    none = _nothing(wanted)
    judged: Float32 = found.copy()
    judged[none & _nothing(found)] = 0
    judged[none & ~_nothing(found)] = np.nan
    return judged


def without_none(wanted: Float32) -> Float32:
    """`wanted` with zeros where it is no chunk, to compare `answered` with."""
    judged: Float32 = wanted.copy()
    judged[_nothing(wanted)] = 0
    return judged


def _nothing(chunks: Float32) -> np.typing.NDArray[np.bool_]:
    return np.asarray(np.isnan(chunks).all(axis=(1, 2)))
