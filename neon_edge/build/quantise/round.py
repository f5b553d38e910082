"""Rounding to nearest: the plainest quantiser, and the yardstick of the others."""

from __future__ import annotations

import numpy as np

from neon_edge.build.importers import QuantisedLinear
from neon_edge.errors import ConfigWrong
from neon_edge.types import Float32

GROUPS = (128, 64, 32)
"""What TensorRT's 4-bit products take, the cheapest first."""

_TINY = np.float32(1e-8)


def group_for(inputs: int, groups: tuple[int, ...] = GROUPS) -> int:
    """The largest group that divides `inputs`. Raises `ConfigWrong` where none does."""
    for group in groups:
        if inputs % group == 0:
            return group
    raise ConfigWrong(
        f"{inputs} inputs do not divide into groups",
        f"groups are of {', '.join(map(str, groups))}",
        "leave this layer in float: skip",
    )


def round_int8(matrix: Float32) -> QuantisedLinear:
    """Per output channel, symmetric, [-127, 127]; activations are left alone."""
    scales = np.maximum(np.abs(matrix).max(axis=0) / np.float32(127), _TINY)
    codes = np.clip(np.rint(matrix / scales), -127, 127).astype(np.int8)
    return QuantisedLinear(bits=8, codes=codes, scales=scales[None])


def round_groups(matrix: Float32, group: int, bits: int = 4) -> QuantisedLinear:
    """Per group of inputs and output channel, symmetric."""
    top = np.float32(2 ** (bits - 1) - 1)
    blocks = matrix.reshape(-1, group, matrix.shape[1])
    scales = np.maximum(np.abs(blocks).max(axis=1) / top, _TINY)
    codes = np.clip(np.rint(blocks / scales[:, None]), -top - 1, top)
    return QuantisedLinear(
        bits=bits, codes=codes.reshape(matrix.shape).astype(np.int8), scales=scales
    )
