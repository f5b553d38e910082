"""GPTQ checkpoints: auto-gptq's layout (v1) and GPTQModel's (v2), with and without act-order.

    qweight int32 (inputs / 8, outputs)   eight neighbours of a column in a word
    qzeros  int32 (groups, outputs / 8)   eight neighbours of a row; v1 stores zero - 1
    scales  float (groups, outputs)       g_idx int32 (inputs,): the group of every input row

Layout: ModelCloud/GPTQModel `gptqmodel/nn_modules/qlinear/__init__.py`, `utils/model.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from neon_edge.build.importers.bits import along_columns, along_rows
from neon_edge.build.importers.linear import QuantisedLinear, checked, refused
from neon_edge.types import Int64

MIDDLE = 8
_ONES = np.uint32(0x11111111)

Arrays = Mapping[str, npt.NDArray[Any]]


def read_gptq(name: str, arrays: Arrays, *, version: int, symmetric: bool) -> QuantisedLinear:
    """One layer of `arrays` (qweight, qzeros, scales, perhaps g_idx). Raises `ConfigWrong`."""
    scales = arrays["scales"]
    codes = along_rows(arrays["qweight"])
    zeros = _zeros(name, arrays, version, symmetric)
    order = _order(name, arrays.get("g_idx"), len(codes), len(scales))
    if order is not None:
        codes = codes[order]
    return checked(
        QuantisedLinear(
            bits=4,
            codes=codes.astype(np.int8) - np.int8(MIDDLE),
            scales=scales,
            zeros=zeros,
            order=order,
        ),
        name,
    )


def _zeros(
    name: str, arrays: Arrays, version: int, symmetric: bool
) -> npt.NDArray[np.int16] | None:
    """Zero points less the middle; None where they are all in the middle."""
    words, groups = arrays["qzeros"], len(arrays["scales"])
    if words.size == 0:
        if symmetric:
            return None
        raise refused(name, "it is asymmetric and has no zero points")
    if version == 1 and not symmetric:
        # The writer takes one from every nibble by one subtraction from the word, so that a zero
        # point of 0 borrows from its neighbour; adding to the word gives back what it borrowed.
        words = words.view(np.uint32) + _ONES
    stored = along_columns(words).astype(np.int16)
    if stored.shape != arrays["scales"].shape:
        raise refused(name, f"zero points {stored.shape}, scales ({groups}, ...)")
    if symmetric:
        # Published files exist that call themselves v1 and store v2's zero points. Symmetric has
        # one answer whichever it is, so the numbers decide and not the label.
        if (stored == MIDDLE - 1).all() or (stored == MIDDLE).all():
            return None
        raise refused(name, f"symmetric, yet zero points are {np.unique(stored).tolist()}")
    zeros = stored - np.int16(MIDDLE)
    return zeros if zeros.any() else None


def _order(name: str, groups_of: npt.NDArray[Any] | None, rows: int, groups: int) -> Int64 | None:
    """Input rows sorted by group, None where they are already."""
    if groups_of is None or groups_of.size == 0:
        return None
    size = rows // groups
    if groups_of.shape != (rows,) or groups_of.min() < 0:
        raise refused(name, f"g_idx {groups_of.shape} from {groups_of.min()}, {rows} inputs")
    counts = np.bincount(groups_of, minlength=groups)
    if len(counts) != groups or (counts != size).any():
        raise refused(name, f"groups of {sorted(set(counts.tolist()))} rows, all must be {size}")
    order: Int64 = np.argsort(groups_of, kind="stable").astype(np.int64)
    return None if (order == np.arange(rows)).all() else order
