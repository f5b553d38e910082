"""NVIDIA ModelOpt's unified checkpoints: W4A16 (AWQ) and INT8 SmoothQuant.

    W4A16   weight uint8 (outputs / 2, inputs), low nibble the even output, two's complement;
            weight_scale (outputs, groups); pre_quant_scale (inputs,), perhaps
    INT8    weight int8 (outputs, inputs); weight_scale (outputs,); input_scale (); pre_quant_scale

Layout: NVIDIA/TensorRT-Edge-LLM `tensorrt_edgellm/models/linear.py`, `checkpoint/repacking.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from neon_edge.build.importers.bits import signed_nibbles
from neon_edge.build.importers.linear import QuantisedLinear, checked, refused
from neon_edge.types import Float32

Arrays = Mapping[str, npt.NDArray[Any]]


def read_w4a16(name: str, arrays: Arrays) -> QuantisedLinear:
    """One 4-bit layer. Raises `ConfigWrong`."""
    weight = arrays["weight"]
    if weight.dtype != np.uint8:
        raise refused(name, f"weight is {weight.dtype}, packed nibbles are uint8")
    codes = np.ascontiguousarray(signed_nibbles(weight).T)
    return checked(
        QuantisedLinear(
            bits=4,
            codes=codes,
            scales=np.ascontiguousarray(arrays["weight_scale"].T),
            input_scale=_input_scale(name, arrays, len(codes)),
        ),
        name,
    )


def read_smooth_int8(name: str, arrays: Arrays) -> QuantisedLinear:
    """One W8A8 layer. Raises `ConfigWrong`."""
    weight, scale = arrays["weight"], arrays["weight_scale"]
    if weight.dtype != np.int8 or scale.size != len(weight):
        raise refused(name, f"weight {weight.dtype} {weight.shape}, scale {scale.shape}")
    if "input_scale" not in arrays or arrays["input_scale"].size != 1:
        raise refused(name, "it has no per-tensor input_scale")
    return checked(
        QuantisedLinear(
            bits=8,
            codes=np.ascontiguousarray(weight.T),
            scales=scale.reshape(1, -1),
            input_scale=_input_scale(name, arrays, weight.shape[1]),
            activation_scale=float(arrays["input_scale"].reshape(-1)[0]),
        ),
        name,
    )


def _input_scale(name: str, arrays: Arrays, inputs: int) -> Float32 | None:
    scale = arrays.get("pre_quant_scale")
    if scale is None:
        return None
    if scale.shape != (inputs,):
        raise refused(name, f"pre_quant_scale {scale.shape}, {inputs} inputs")
    smooth: Float32 = scale.astype(np.float32)
    return smooth
