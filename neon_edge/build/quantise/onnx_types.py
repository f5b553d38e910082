"""Making initialisers: 4-bit codes packed as ONNX wants them, floats in any of the three types."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]


def float_tensor(name: str, values: Array, dtype: int) -> TensorProto:
    """`values` as FLOAT, FLOAT16 or BFLOAT16."""
    array = np.asarray(values, np.float32).astype(helper.tensor_dtype_to_np_dtype(dtype))
    return numpy_helper.from_array(np.ascontiguousarray(array), name)


def least_scale(dtype: int) -> float:
    """The smallest number that FLOAT, FLOAT16 or BFLOAT16 holds with all its digits."""
    return float(_range(dtype).smallest_normal)


def largest(dtype: int) -> float:
    """The largest number of FLOAT, FLOAT16 or BFLOAT16."""
    return float(_range(dtype).max)


def _range(dtype: int) -> Any:
    # NumPy's own finfo knows no bfloat16.
    return ml_dtypes.finfo(helper.tensor_dtype_to_np_dtype(dtype))  # type: ignore[no-untyped-call]


def int4_tensor(name: str, codes: Array) -> TensorProto:
    """Codes in [-8, 7], two a byte, the even one in the low nibble, rows before columns."""
    flat = (codes.reshape(-1) & 0xF).astype(np.uint8)
    packed = (flat[0::2] | flat[1::2] << 4).astype(np.uint8)
    return TensorProto(
        name=name, data_type=TensorProto.INT4, dims=codes.shape, raw_data=packed.tobytes()
    )
