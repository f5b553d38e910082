"""AWQ checkpoints in AutoAWQ's GEMM layout: asymmetric, groups in order, columns interleaved.

    qweight int32 (inputs, outputs / 8)
    qzeros  int32 (groups, outputs / 8)   scales (groups, outputs)

Nibble j of a word holds column 8c + (0, 2, 4, 6, 1, 3, 5, 7)[j]; zero points are stored as they
are. Layout: casper-hansen/AutoAWQ `awq/modules/linear/gemm.py`, `awq/utils/packing_utils.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from neon_edge.build.importers.bits import nibbles
from neon_edge.build.importers.gptq import MIDDLE
from neon_edge.build.importers.linear import QuantisedLinear, checked, refused
from neon_edge.types import UInt8

COLUMNS = np.array([0, 2, 4, 6, 1, 3, 5, 7])


def read_awq(name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> QuantisedLinear:
    """One layer of `arrays` (qweight, qzeros, scales). Raises `ConfigWrong`."""
    codes, zeros = _columns(arrays["qweight"]), _columns(arrays["qzeros"])
    if zeros.shape != arrays["scales"].shape:
        raise refused(name, f"zero points {zeros.shape}, scales {arrays['scales'].shape}")
    offsets = zeros.astype(np.int16) - np.int16(MIDDLE)
    return checked(
        QuantisedLinear(
            bits=4,
            codes=codes.astype(np.int8) - np.int8(MIDDLE),
            scales=arrays["scales"],
            zeros=offsets if offsets.any() else None,
        ),
        name,
    )


def _columns(words: npt.NDArray[Any]) -> UInt8:
    spread = nibbles(words)
    placed = np.empty_like(spread)
    placed[..., COLUMNS] = spread
    return placed.reshape(words.shape[0], -1)
