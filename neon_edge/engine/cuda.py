"""The few CUDA calls an engine makes, every return code checked, all owned memory given back."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from neon_edge.engine.contract import Array
from neon_edge.errors import DeviceMissing

_CHECK = "check the driver (nvidia-smi, or the JetPack version) and the kernel log (dmesg)"
_POISON = 0xFF
"""Every float made of these bytes is NaN, and not the NaN that a GPU computes (7F FF …)."""


def load_runtime() -> Any:
    """cuda-python's runtime bindings. Raises `DeviceMissing` with what to install."""
    try:
        from cuda.bindings import runtime
    except ImportError as failure:
        raise DeviceMissing(
            "CUDA for Python is not installed",
            str(failure),
            "pip install 'cuda-python>=12.6,<13' on JetPack 6, 'cuda-python>=13' on JetPack 7.2; "
            "on a PC: pip install 'neon-edge[trt]'",
        ) from failure
    return runtime


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a cuda-python function; return what stands behind its error code, if anything.

    Raises `DeviceMissing` with CUDA's own words. CUDA reports late: the failure may be that of an
    earlier, asynchronous call.
    """
    code, *results = function(*arguments)
    if int(code) != 0:
        raise DeviceMissing(
            "the GPU did not do what it was asked to",
            f"{function.__name__} returned {code.name} ({int(code)})",
            _CHECK,
        )
    return results[0] if len(results) == 1 else tuple(results)


def device_name(cuda: Any) -> str:
    """The GPU's name and architecture, such as "Orin sm_87". Raises `DeviceMissing`."""
    code, count = cuda.cudaGetDeviceCount()
    if int(code) != 0 or count == 0:
        raise DeviceMissing(
            "no NVIDIA GPU answers",
            f"cudaGetDeviceCount returned {code.name} ({int(code)}), {count or 0} devices",
            _CHECK,
        )
    attribute = cuda.cudaDeviceAttr
    major = call(cuda.cudaDeviceGetAttribute, attribute.cudaDevAttrComputeCapabilityMajor, 0)
    minor = call(cuda.cudaDeviceGetAttribute, attribute.cudaDevAttrComputeCapabilityMinor, 0)
    name = call(cuda.cudaGetDeviceProperties, 0).name
    text = name.decode() if isinstance(name, bytes) else str(name)
    return f"{text.rstrip(chr(0))} sm_{major}{minor}"


@dataclass(frozen=True, slots=True)
class Buffer:
    """One tensor twice: pinned on the host, where NumPy sees it, and on the device."""

    array: Array
    host: int
    device: int


def open_buffer(
    cuda: Any, owned: ExitStack, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Buffer:
    """Allocate a tensor on both sides, zeroed on the host; `owned` frees it."""
    count = math.prod(shape)
    size = max(1, count * dtype.itemsize)
    host = int(call(cuda.cudaHostAlloc, size, cuda.cudaHostAllocDefault))
    owned.callback(call, cuda.cudaFreeHost, host)
    device = int(call(cuda.cudaMalloc, size))
    owned.callback(call, cuda.cudaFree, device)
    raw = memoryview((ctypes.c_uint8 * size).from_address(host))
    array: Array = np.frombuffer(raw, dtype, count=count).reshape(shape)
    array[...] = 0
    return Buffer(array, host, device)


def open_stream(cuda: Any, owned: ExitStack, *, urgent: bool) -> int:
    """A stream of our own. `urgent` work goes first of what waits; nothing running is stopped."""
    least, greatest = call(cuda.cudaDeviceGetStreamPriorityRange)
    stream = call(
        cuda.cudaStreamCreateWithPriority,
        cuda.cudaStreamNonBlocking,
        greatest if urgent else least,
    )
    owned.callback(call, cuda.cudaStreamDestroy, stream)
    return int(stream)


def open_event(cuda: Any, owned: ExitStack) -> Any:
    """An event whose waiter sleeps: a spinning one would take the core from the control loop."""
    event = call(
        cuda.cudaEventCreateWithFlags, cuda.cudaEventBlockingSync | cuda.cudaEventDisableTiming
    )
    owned.callback(call, cuda.cudaEventDestroy, event)
    return event


def capture(cuda: Any, owned: ExitStack, stream: int, enqueue: Callable[[], None]) -> Any:
    """Record what `enqueue` puts on `stream` as a graph that one call launches.

    Thread-local mode: on Jetson, global capture breaks other threads' CUDA calls with error 906.
    """
    mode = cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
    call(cuda.cudaStreamBeginCapture, stream, mode)
    try:
        enqueue()
    except BaseException:
        cuda.cudaStreamEndCapture(stream)  # the first failure is the one to report
        raise
    graph = call(cuda.cudaStreamEndCapture, stream)
    owned.callback(call, cuda.cudaGraphDestroy, graph)
    executable = call(cuda.cudaGraphInstantiate, graph, 0)
    owned.callback(call, cuda.cudaGraphExecDestroy, executable)
    return executable


def poison(cuda: Any, buffer: Buffer, stream: int) -> None:
    """Fill both sides with a pattern that no computation leaves behind."""
    buffer.array.reshape(-1).view(np.uint8)[...] = _POISON
    call(cuda.cudaMemsetAsync, buffer.device, _POISON, buffer.array.nbytes, stream)


def is_poisoned(array: Array) -> bool:
    """True if any element is still the poison. Only floats can tell; others are never."""
    if array.dtype.kind != "f" or array.size == 0:
        return False
    pieces = array.reshape(-1).view(np.uint8).reshape(array.size, array.dtype.itemsize)
    return bool((pieces == _POISON).all(axis=1).any())
