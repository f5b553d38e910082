"""The engine for NVIDIA GPUs: TensorRT, pinned buffers, one captured CUDA graph.

Written against what TensorRT 10.3 (JetPack 6), 10.16 (JetPack 7.2) and 11.4 (PC) all have.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neon_edge.engine import cuda as gpu
from neon_edge.engine.contract import Tensors
from neon_edge.engine.strongly_typed import Network, open_logger
from neon_edge.errors import DeviceMissing, PlanUnfit

_DTYPES: dict[str, Any] = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT8": np.int8,
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT8": np.uint8,
    "BOOL": np.bool_,
}


@dataclass(frozen=True, slots=True)
class TensorRtOptions:
    """How hard to search for kernels, and with how much precision."""

    optimisation_level: int = 3
    """0 to 5: above 3, minutes become hours for a few per cent."""
    workspace_bytes: int = 0
    """Scratch memory that kernels may use; 0 for all there is."""
    tf32: bool = False
    """Let FP32 layers round their inputs to 10 bits. Joint angles are FP32 for a reason."""
    timing_cache: Path | None = None
    """Measured kernel times, kept between builds on this GPU: quick and repeatable rebuilds."""


def load_tensorrt() -> Any:
    """The `tensorrt` module. Raises `DeviceMissing` with what to install."""
    try:
        import tensorrt
    except ImportError as failure:
        raise DeviceMissing(
            "TensorRT is not installed",
            str(failure),
            "on JetPack: sudo apt install python3-libnvinfer, in an environment made with "
            "--system-site-packages; on a PC: pip install 'neon-edge[trt]'",
        ) from failure
    return tensorrt


def version() -> str:
    """Of the library; a plan runs on no other."""
    return str(load_tensorrt().__version__)


def compile_tensorrt(onnx: Path, plan: Path, options: TensorRtOptions) -> None:
    """Compile `onnx` on the GPU that will run it. Raises `ConfigWrong` or `PlanUnfit`."""
    trt = load_tensorrt()
    gpu.device_name(gpu.load_runtime())
    network = Network(trt, onnx)
    config = network.builder.create_builder_config()
    config.builder_optimization_level = options.optimisation_level
    if options.workspace_bytes:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_bytes)
    if not options.tf32:
        config.clear_flag(trt.BuilderFlag.TF32)
    if options.timing_cache:
        _read_timings(config, options.timing_cache)
    plan.write_bytes(network.serialise(config))
    if options.timing_cache:
        options.timing_cache.write_bytes(bytes(config.get_timing_cache().serialize()))


def _read_timings(config: Any, path: Path) -> None:
    kept = path.read_bytes() if path.exists() else b""
    # Refused when it is of another GPU or TensorRT: then start a new one.
    if not config.set_timing_cache(config.create_timing_cache(kept), ignore_mismatch=False):
        config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)


class TensorRtEngine:
    """One plan on the GPU: copy in, network and copy out are a single graph launch.

    `start` and `wait` belong to one thread. `urgent` puts its work ahead of other streams' work
    that is still waiting. `module` is tensorrt, or one with the same runtime.
    """

    def __init__(self, plan: Path, *, urgent: bool = False, module: Any = None) -> None:
        self._trt = module if module is not None else load_tensorrt()
        self._cuda = gpu.load_runtime()
        gpu.device_name(self._cuda)
        self._plan = plan
        self._logger = open_logger(self._trt)
        with ExitStack() as owned:
            self._stream = gpu.open_stream(self._cuda, owned, urgent=urgent)
            self._done = gpu.open_event(self._cuda, owned)
            self._load(plan)
            self._inputs, self._outputs = self._bind(owned)
            self._warm_up()
            self._graph = gpu.capture(self._cuda, owned, self._stream, self._enqueue)
            self._owned = owned.pop_all()
        self.inputs: Tensors = {name: b.array for name, b in self._inputs.items()}
        self.outputs: Tensors = {name: b.array for name, b in self._outputs.items()}

    def start(self) -> None:
        """Launch the graph and return."""
        gpu.call(self._cuda.cudaGraphLaunch, self._graph, self._stream)
        gpu.call(self._cuda.cudaEventRecord, self._done, self._stream)

    def wait(self) -> None:
        """Sleep until the last `start` is done."""
        gpu.call(self._cuda.cudaEventSynchronize, self._done)

    def close(self) -> None:
        """Free both sides. `inputs` and `outputs` are emptied: their memory is gone."""
        self.inputs, self.outputs = {}, {}
        gpu.call(self._cuda.cudaStreamSynchronize, self._stream)
        self._inputs, self._outputs = {}, {}
        del self._context, self._engine, self._runtime
        self._owned.close()

    def _load(self, plan: Path) -> None:
        self._runtime = self._trt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(plan.read_bytes())
        if self._engine is None:
            raise self._unfit("TensorRT cannot load it", "build the plans again on this machine")
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise self._unfit("no memory for its activations", "stop other programs on the GPU")

    def _bind(self, owned: ExitStack) -> tuple[dict[str, gpu.Buffer], dict[str, gpu.Buffer]]:
        inputs: dict[str, gpu.Buffer] = {}
        outputs: dict[str, gpu.Buffer] = {}
        for i in range(self._engine.num_io_tensors):
            name = self._engine.get_tensor_name(i)
            buffer = gpu.open_buffer(self._cuda, owned, self._shape(name), self._dtype(name))
            if not self._context.set_tensor_address(name, buffer.device):
                raise self._unfit(f"tensor {name!r} cannot be bound", "build the plans again")
            is_input = self._engine.get_tensor_mode(name) == self._trt.TensorIOMode.INPUT
            (inputs if is_input else outputs)[name] = buffer
        return inputs, outputs

    def _shape(self, name: str) -> tuple[int, ...]:
        shape = tuple(self._engine.get_tensor_shape(name))
        if any(size < 0 for size in shape):
            raise self._unfit(
                f"tensor {name!r} has no fixed shape: {shape}", "export with fixed shapes"
            )
        return shape

    def _dtype(self, name: str) -> np.dtype[Any]:
        dtype = self._engine.get_tensor_dtype(name).name
        if dtype not in _DTYPES:
            raise self._unfit(f"tensor {name!r} is {dtype}", f"use one of {', '.join(_DTYPES)}")
        found: np.dtype[Any] = np.dtype(_DTYPES[dtype])
        return found

    def _warm_up(self) -> None:
        """Run once outside the graph (first runs allocate); see that every output is written."""
        for buffer in self._outputs.values():
            gpu.poison(self._cuda, buffer, self._stream)
        self._enqueue()
        gpu.call(self._cuda.cudaStreamSynchronize, self._stream)
        for name, buffer in self._outputs.items():
            if gpu.is_poisoned(buffer.array):
                raise self._unfit(f"output {name!r} was not written", "build the plans again")

    def _enqueue(self) -> None:
        copy, kind = self._cuda.cudaMemcpyAsync, self._cuda.cudaMemcpyKind
        for b in self._inputs.values():
            up = kind.cudaMemcpyHostToDevice
            gpu.call(copy, b.device, b.host, b.array.nbytes, up, self._stream)
        if not self._context.execute_async_v3(self._stream):
            raise self._unfit("TensorRT cannot run it", "build the plans again on this machine")
        for b in self._outputs.values():
            down = kind.cudaMemcpyDeviceToHost
            gpu.call(copy, b.host, b.device, b.array.nbytes, down, self._stream)

    def _unfit(self, wrong: str, fix: str) -> PlanUnfit:
        return PlanUnfit(f"{self._plan.name}: {wrong}", self._logger.said(), fix)
