"""Gates of what the backbone makes: pooled features, and the tokens that they are the mean of."""

from __future__ import annotations

import numpy as np

from neon_edge.build.samples import Samples, Seen
from neon_edge.build.verify_units import gate
from neon_edge.engine.manifest import Gate, Verification
from neon_edge.errors import ConfigWrong
from neon_edge.types import Float32


def features_gates(seen: Seen, samples: Samples, limits: Verification) -> list[Gate]:
    """`seen` against the samples' own; tokens to the limits of the features, all of a moment's."""
    gates = [_gate("pooled features", seen.pooled, samples.pooled, samples, limits)]
    if seen.tokens is None:
        return gates
    wanted = samples.seen.tokens
    if wanted is None or [len(rows) for rows in wanted] != [len(rows) for rows in seen.tokens]:
        raise ConfigWrong(
            "this bundle's samples are not of as many tokens as its plans make",
            f"{'none' if wanted is None else sorted({len(rows) for rows in wanted})} against "
            f"{sorted({len(rows) for rows in seen.tokens})}",
            "make the bundle again",
        )
    most = max(len(rows) for rows in wanted)
    found, right = (_flat(tokens, most) for tokens in (seen.tokens, wanted))
    return [*gates, _gate("tokens", found, right, samples, limits)]


def _flat(tokens: list[Float32], most: int) -> Float32:
    """(moments, most * width), zeros where a moment has fewer."""
    return np.stack([np.pad(rows, ((0, most - len(rows)), (0, 0))).reshape(-1) for rows in tokens])


def _gate(
    name: str, found: Float32, wanted: Float32, samples: Samples, limits: Verification
) -> Gate:
    if limits.cosine > 0:
        return gate(name, lost(found, wanted), 1 - limits.cosine, "1 - cosine", samples.names)
    relative = np.abs(found - wanted).max(axis=1) / np.abs(wanted).max()
    return gate(name, relative, limits.pooled_relative, "relative", samples.names)


def lost(found: Float32, wanted: Float32) -> Float32:
    """1 - cosine of every row of (samples, width); 1 where there is no number."""
    sizes = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines = (found.astype(np.float64) * wanted).sum(axis=1) / sizes
    return (1 - np.where(np.isfinite(cosines), cosines, 0)).astype(np.float32)
