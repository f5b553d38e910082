"""TensorRT's runtime for tests: a "plan" is an ONNX file, run by ONNX Runtime on a faked GPU.

Only symbols of `tensorrt_api` exist.
"""

from __future__ import annotations

import ctypes
import enum
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime

from tests.engine.fake_cuda import FakeCuda
from tests.engine.tensorrt_api import COMMON


class Strict:
    """Has what `tensorrt_api` lists for its class, and our class's own underscored parts."""

    def __init_subclass__(cls) -> None:
        if cls.__name__ not in COMMON:
            return  # our logger, derived from the library's
        extra = {n for n in vars(cls) if not n.startswith("_")} - COMMON[cls.__name__]
        assert not extra, f"{cls.__name__} must not offer {extra}"


class ILogger(Strict):
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class DataType(enum.Enum):
    FLOAT = "tensor(float)"
    HALF = "tensor(float16)"
    INT64 = "tensor(int64)"
    INT32 = "tensor(int32)"
    BF16 = "tensor(bfloat16)"


class TensorIOMode(enum.Enum):
    INPUT = 0
    OUTPUT = 1


_NUMPY = {"FLOAT": np.float32, "HALF": np.float16, "INT64": np.int64, "INT32": np.int32}


class IExecutionContext(Strict):
    def __init__(self, session: Any, cuda: FakeCuda, lazy_outputs: set[str]) -> None:
        self._session, self._cuda, self._skip = session, cuda, lazy_outputs
        self._addresses: dict[str, int] = {}

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return address in self._cuda.device_memory

    def execute_async_v3(self, stream: int) -> bool:
        if "execute_async_v3" in self._cuda.fail:
            return False
        self._cuda.put(stream, self._run)
        return True

    def _array(self, node: Any) -> Any:
        dtype = np.dtype(_NUMPY[DataType(node.type).name])
        size = int(np.prod(node.shape)) * dtype.itemsize
        raw = (ctypes.c_uint8 * size).from_address(self._addresses[node.name])
        return np.frombuffer(raw, dtype).reshape(node.shape)

    def _run(self) -> None:
        nodes = self._session.get_inputs()
        results = self._session.run(None, {node.name: self._array(node) for node in nodes})
        for node, result in zip(self._session.get_outputs(), results, strict=True):
            if node.name not in self._skip:
                self._array(node)[...] = result


class ICudaEngine(Strict):
    def __init__(self, session: Any, cuda: FakeCuda, lazy_outputs: set[str]) -> None:
        self._made = (session, cuda, lazy_outputs)
        self._nodes = {n.name: n for n in (*session.get_inputs(), *session.get_outputs())}
        self._inputs = {n.name for n in session.get_inputs()}
        self.num_io_tensors = len(self._nodes)

    def get_tensor_name(self, index: int) -> str:
        return list(self._nodes)[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self._inputs else TensorIOMode.OUTPUT

    def get_tensor_shape(self, name: str) -> Any:
        return tuple(s if isinstance(s, int) else -1 for s in self._nodes[name].shape)

    def get_tensor_dtype(self, name: str) -> DataType:
        return DataType(self._nodes[name].type)

    def create_execution_context(self) -> IExecutionContext:
        return IExecutionContext(*self._made)


def fake_tensorrt(cuda: FakeCuda, lazy_outputs: set[str] | None = None) -> Any:
    """A `tensorrt` whose runtime works on `cuda`; outputs in `lazy_outputs` are never written."""

    class Runtime(Strict):
        def __init__(self, logger: Any) -> None:
            self._logger = logger

        def deserialize_cuda_engine(self, plan: bytes) -> ICudaEngine | None:
            try:
                session = onnxruntime.InferenceSession(plan)
            except Exception:
                self._logger.log(ILogger.ERROR, "the plan is not of\nthis version")
                return None
            return ICudaEngine(session, cuda, lazy_outputs or set())

    return SimpleNamespace(
        __version__="10.3.0",
        ILogger=ILogger,
        Runtime=Runtime,
        DataType=DataType,
        TensorIOMode=TensorIOMode,
    )
