"""compressed-tensors checkpoints (llm-compressor): `pack-quantized` W4A16 and `int-quantized` W8A8.

    weight_packed int32 (outputs, inputs / 8)   value + 8, eight neighbours of a row in a word
    weight_scale  (outputs, groups)             weight_shape (2,): outputs, inputs
    weight_zero_point int32 (outputs / 8, groups), packed along the outputs; asymmetric only
    weight int8 (outputs, inputs), weight_scale (outputs, 1), perhaps input_scale: int-quantized

Layout: vllm-project/compressed-tensors `compressors/pack_quantized/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from neon_edge.build.importers.bits import along_columns, along_rows
from neon_edge.build.importers.gptq import MIDDLE
from neon_edge.build.importers.linear import QuantisedLinear, checked, refused

Arrays = Mapping[str, npt.NDArray[Any]]


def read_packed(name: str, arrays: Arrays, *, symmetric: bool) -> QuantisedLinear:
    """One W4A16 layer. Raises `ConfigWrong`."""
    if arrays["weight_shape"].shape != (2,):
        raise refused(name, f"weight_shape is {arrays['weight_shape'].tolist()}, not two numbers")
    outputs, inputs = (int(size) for size in arrays["weight_shape"])
    packed = along_columns(arrays["weight_packed"])
    if packed.shape[0] != outputs or not 0 < inputs <= packed.shape[1]:
        raise refused(name, f"packed {packed.shape}, weight_shape ({outputs}, {inputs})")
    if arrays.get("weight_g_idx") is not None:
        raise refused(name, "it has weight_g_idx: act-order of compressed-tensors is not known")
    zeros = None
    if not symmetric:
        words = arrays.get("weight_zero_point")
        if words is None or words.ndim != 2 or words.size == 0:
            raise refused(name, "it is asymmetric and has no zero points of its groups")
        # Both codes and zero points are stored plus eight, so that the eights cancel.
        stored = along_rows(words)[:outputs].T.astype(np.int16)
        zeros = stored - np.int16(MIDDLE)
        if zeros.shape != arrays["weight_scale"].shape[::-1]:
            raise refused(name, f"zero points {zeros.T.shape}, not those of weight_scale")
        zeros = zeros if zeros.any() else None
    return checked(
        QuantisedLinear(
            bits=4,
            codes=np.ascontiguousarray((packed[:, :inputs].astype(np.int8) - np.int8(MIDDLE)).T),
            scales=np.ascontiguousarray(arrays["weight_scale"].T),
            zeros=zeros,
        ),
        name,
    )


def read_int8(name: str, arrays: Arrays) -> QuantisedLinear:
    """One W8A8 layer, per-channel symmetric, per-tensor static input. Raises `ConfigWrong`."""
    weight, scale = arrays["weight"], arrays["weight_scale"]
    if weight.dtype != np.int8 or scale.size != len(weight):
        raise refused(name, f"weight {weight.dtype} {weight.shape}, scale {scale.shape}")
    if arrays.get("weight_zero_point") is not None and arrays["weight_zero_point"].any():
        raise refused(name, "its 8-bit zero points are not 0")
    if arrays.get("input_zero_point") is not None and arrays["input_zero_point"].any():
        raise refused(name, "its input zero point is not 0: TensorRT takes symmetric inputs only")
    incoming = arrays.get("input_scale")
    if incoming is None or incoming.size != 1:
        raise refused(name, "it has no per-tensor input_scale: its activations are dynamic")
    return checked(
        QuantisedLinear(
            bits=8,
            codes=np.ascontiguousarray(weight.T),
            scales=scale.reshape(1, -1),
            activation_scale=float(incoming.reshape(-1)[0]),
        ),
        name,
    )
