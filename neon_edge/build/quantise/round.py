"""Rounding to nearest: the plainest quantiser, and the yardstick of the others."""

from __future__ import annotations

import numpy as np

from neon_edge.build.importers import QuantisedLinear
from neon_edge.errors import ConfigWrong
from neon_edge.types import Float32

LEAST = float(np.finfo(np.float32).smallest_normal)
"""The smallest scale of a float32 graph; `least_scale` for the others."""
GROUPS = (128, 64, 32)
"""What TensorRT's 4-bit products take, the cheapest first."""


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


def scales_of(reach: Float32, top: int, least: float) -> Float32:
    """What brings magnitudes up to `reach` to codes up to `top`: at least `least`, 1 for zeros.

    In half precision a small scale would be stored with few digits or as 0, which no engine takes.
    """
    scales: Float32 = np.where(reach > 0, np.maximum(reach / np.float32(top), least), 1)
    return scales.astype(np.float32)


def round_int8(matrix: Float32, least: float = LEAST) -> QuantisedLinear:
    """Per output channel, symmetric, [-127, 127]; activations are left alone."""
    scales = scales_of(np.abs(matrix).max(axis=0), 127, least)
    codes = np.clip(np.rint(matrix / scales), -127, 127).astype(np.int8)
    return QuantisedLinear(bits=8, codes=codes, scales=scales[None])


def round_groups(
    matrix: Float32, group: int, bits: int = 4, least: float = LEAST
) -> QuantisedLinear:
    """Per group of inputs and output channel, symmetric."""
    top = 2 ** (bits - 1) - 1
    blocks = matrix.reshape(-1, group, matrix.shape[1])
    scales = scales_of(np.abs(blocks).max(axis=1), top, least)
    codes = np.clip(np.rint(blocks / scales[:, None]), -top - 1, top)
    return QuantisedLinear(
        bits=bits, codes=codes.reshape(matrix.shape).astype(np.int8), scales=scales
    )
