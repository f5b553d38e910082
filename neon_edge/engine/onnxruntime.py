"""The engine that runs anywhere: ONNX Runtime on the CPU, over buffers that never move."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from neon_edge.engine.contract import Array, Tensors
from neon_edge.engine.denormals import Flushed
from neon_edge.engine.files import weights_of
from neon_edge.errors import ConfigWrong, PlanUnfit

_PROVIDER = "CPUExecutionProvider"
_ERRORS_ONLY = 3

# A protobuf file ends at 2 GiB; well before that, weights move into a file of their own.
_INLINE_LIMIT_BYTES = 1 << 30
_SMALLEST_EXTERNAL_BYTES = 1024

_UNWRITTEN = ("Failed to write", "serialization failed", "cannot be opened for writing")
"""What the library says when a disk is full; it keeps the number of the error to itself."""
_BUFFERED_BYTES = 1 << 14

_DTYPES: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}


def version() -> str:
    """Of the library; a plan runs on no other."""
    return str(onnxruntime.__version__)


def compile_onnxruntime(
    onnx: Path, plan: Path, threads: int, *, inline_limit_bytes: int = _INLINE_LIMIT_BYTES
) -> None:
    """Write ONNX Runtime's own optimised form of `onnx` to `plan`.

    All graph optimisations, those for this CPU's vector width included, so it fits only this
    machine and this version. Weights of a graph larger than `inline_limit_bytes`, or that has them
    beside it, go to PLAN.weights. Raises `ConfigWrong` when the graph is not one that can run,
    `OSError` when the plan cannot be written; neither leaves any of it.
    """
    options = _options(threads)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.optimized_model_filepath = str(plan)
    weights_of(plan).unlink(missing_ok=True)
    # Weights beside a graph would be looked for beside the plan, under the graph's name.
    if weights_of(onnx).exists() or _graph_bytes(onnx) > inline_limit_bytes:
        options.add_session_config_entry(
            "session.optimized_model_external_initializers_file_name", weights_of(plan).name
        )
        options.add_session_config_entry(
            "session.optimized_model_external_initializers_min_size_in_bytes",
            str(_SMALLEST_EXTERNAL_BYTES),
        )
    try:
        with Flushed():
            onnxruntime.InferenceSession(str(onnx), options, providers=[_PROVIDER])
        _check_room(plan)
    except Exception as failure:
        for file in (plan, weights_of(plan)):
            file.unlink(missing_ok=True)
        said = _one_line(failure)
        if any(words in said for words in _UNWRITTEN):
            raise OSError(f"ONNX Runtime could not write {plan.name}") from failure
        raise ConfigWrong(
            f"ONNX Runtime cannot compile {onnx.name}", said, "export it again"
        ) from failure


def _check_room(plan: Path) -> None:
    # The library does not look whether the last piece that it buffered could still be written.
    if shutil.disk_usage(plan.parent).free < _BUFFERED_BYTES:
        raise OSError(_UNWRITTEN[0])


class OnnxRuntimeEngine:
    """One plan on the CPU, one inference at a time. `start` does the work and `wait` returns.

    Worker threads spin between the operators of a pass, and sleep once it is over: cores are the
    network's while it runs and everybody's in between. One thread has no workers.
    """

    def __init__(self, plan: Path, threads: int) -> None:
        self._flushed = Flushed()
        with self._flushed:
            self._session = _load(plan, threads)
        self.inputs: Tensors = {
            node.name: _buffer(plan, node) for node in self._session.get_inputs()
        }
        self.outputs: Tensors = {
            node.name: _buffer(plan, node) for node in self._session.get_outputs()
        }
        self._binding = self._bind()
        self._check_in_place(plan)

    def start(self) -> None:
        """Run the network; `outputs` are ready on return."""
        with self._flushed:
            self._session.run_with_iobinding(self._binding)

    def wait(self) -> None:
        """Return at once: `start` has already waited."""

    def close(self) -> None:
        """Drop the session. The arrays stay readable; nothing writes them any more."""
        del self._binding
        del self._session

    def _bind(self) -> Any:
        binding = self._session.io_binding()
        for name, array in self.inputs.items():
            binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        for name, array in self.outputs.items():
            binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        return binding

    def _check_in_place(self, plan: Path) -> None:
        """Run once, which also warms up, and see that every result landed in its own buffer."""
        self.start()
        written = (value.data_ptr() for value in self._binding.get_outputs())
        for (name, array), address in zip(self.outputs.items(), written, strict=True):
            if address != array.ctypes.data:
                raise PlanUnfit(
                    f"{plan.name}: output {name!r} does not land in its buffer",
                    f"written at {address:#x}, bound at {array.ctypes.data:#x}",
                    "use the ONNX Runtime version that the plan was built with",
                )


def _load(plan: Path, threads: int) -> Any:
    options = _options(threads)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(str(plan), options, providers=[_PROVIDER])
    except Exception as failure:
        raise PlanUnfit(
            f"ONNX Runtime cannot load {plan.name}",
            _one_line(failure),
            "build the plans again on this machine",
        ) from failure
    if session.get_providers() != [_PROVIDER]:
        raise PlanUnfit(
            f"{plan.name} would not run on the CPU",
            f"providers {session.get_providers()}, wanted {_PROVIDER}",
            "install the plain onnxruntime package",
        )
    return session


def _options(threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    # Above level 1 a 4-bit MatMul also rounds its *activations* to INT8 (0.4 % error, measured),
    # which no recipe asked for.
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
    return options


def _buffer(plan: Path, node: Any) -> Array:
    if not all(isinstance(size, int) for size in node.shape):
        raise PlanUnfit(
            f"{plan.name}: tensor {node.name!r} has no fixed shape",
            f"shape {node.shape}",
            "export the graph with fixed shapes",
        )
    if node.type not in _DTYPES:
        raise PlanUnfit(
            f"{plan.name}: tensor {node.name!r} has a type that NumPy does not know",
            node.type,
            f"give the graph inputs and outputs of {', '.join(_DTYPES)}",
        )
    return aligned_zeros(tuple(node.shape), np.dtype(_DTYPES[node.type]))


def aligned_zeros(shape: tuple[int, ...], dtype: np.dtype[Any], alignment: int = 64) -> Array:
    """Zeros that begin on a cache line, where vector loads are cheapest."""
    size = math.prod(shape) * dtype.itemsize
    raw = np.zeros(size + alignment, np.uint8)
    skip = -raw.ctypes.data % alignment
    return raw[skip : skip + size].view(dtype).reshape(shape)


def _graph_bytes(onnx: Path) -> int:
    """An upper bound: the graph and every file beside it that starts with its name."""
    try:
        return sum(path.stat().st_size for path in onnx.parent.glob(f"{onnx.stem}*"))
    except OSError:
        return 0


def _one_line(failure: Exception) -> str:
    return " ".join(str(failure).split())
