"""The one neutral form that every published layout becomes, and that our own quantisers make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from neon_edge.errors import ConfigWrong
from neon_edge.types import Float32, Int64

Int8 = npt.NDArray[np.int8]


@dataclass(frozen=True)
class QuantisedLinear:
    """y = (x · input_scale)[order] @ ((codes - zeros) · scales), groups along the inputs.

    codes (inputs, outputs) signed: [-8, 7] for 4 bits, [-128, 127] for 8 · scales (groups,
    outputs), as stored · zeros (groups, outputs) on the same grid as codes, None where all are 0 ·
    order (inputs,) or None · input_scale (inputs,) or None · activation_scale for W8A8, or None.
    """

    bits: int
    codes: Int8
    scales: npt.NDArray[Any]
    zeros: npt.NDArray[np.int16] | None = None
    order: Int64 | None = None
    input_scale: Float32 | None = None
    activation_scale: float | None = None

    @property
    def group(self) -> int:
        """Rows that share a scale."""
        return int(self.codes.shape[0] // self.scales.shape[0])


def dequantised(linear: QuantisedLinear) -> Float32:
    """The matrix (inputs, outputs) float32 that `x @ matrix` wants: order and scale undone."""
    scales = linear.scales.astype(np.float32).repeat(linear.group, axis=0)
    matrix = linear.codes.astype(np.float32)
    if linear.zeros is not None:
        matrix -= linear.zeros.astype(np.float32).repeat(linear.group, axis=0)
    matrix *= scales
    if linear.order is not None:
        placed = np.empty_like(matrix)
        placed[linear.order] = matrix
        matrix = placed
    if linear.input_scale is not None:
        matrix *= linear.input_scale[:, None]
    return matrix


def checked(linear: QuantisedLinear, name: str) -> QuantisedLinear:
    """The same, once its numbers can be used. Raises `ConfigWrong`."""
    rows, groups = linear.codes.shape[0], linear.scales.shape[0]
    if rows == 0 or groups == 0 or rows % groups:
        raise refused(name, f"{rows} inputs do not divide into {groups} groups")
    if linear.codes.shape[1] != linear.scales.shape[1]:
        raise refused(name, f"codes {linear.codes.shape}, scales {linear.scales.shape}")
    scales = linear.scales.astype(np.float32)
    if not np.isfinite(scales).all() or (scales <= 0).any():
        bad = int((~np.isfinite(scales) | (scales <= 0)).sum())
        raise refused(name, f"{bad} of {scales.size} scales are not positive numbers")
    if linear.activation_scale is not None and not 0 < linear.activation_scale < np.inf:
        raise refused(name, f"input scale {linear.activation_scale}")
    return linear


def refused(name: str, facts: str) -> ConfigWrong:
    """A layer that cannot be taken over exactly."""
    return ConfigWrong(
        f"quantised layer {name!r} cannot be imported",
        facts,
        'use the float checkpoint and quantise it here: precision = "int4" in the recipe',
    )
