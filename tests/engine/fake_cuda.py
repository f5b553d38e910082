"""CUDA for tests: streams, events, graphs and two kinds of memory on the host, lazy and strict.

Work put on a stream runs only when somebody waits for it, as on the real thing, so a missing wait
reads what was there before.
"""

# ruff: noqa: N802, N815 - CUDA's names are CUDA's
from __future__ import annotations

import ctypes
import enum
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

Work = Callable[[], None]


class Code(enum.IntEnum):
    cudaSuccess = 0
    cudaErrorMemoryAllocation = 2
    cudaErrorNoDevice = 100
    cudaErrorStreamCaptureUnsupported = 900


class Kind(enum.IntEnum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


class Mode(enum.IntEnum):
    cudaStreamCaptureModeGlobal = 0
    cudaStreamCaptureModeThreadLocal = 1


class Attribute(enum.IntEnum):
    cudaDevAttrComputeCapabilityMajor = 75
    cudaDevAttrComputeCapabilityMinor = 76


class FakeCuda:
    """The part of cuda.bindings.runtime that an engine calls. `fail` names calls that go wrong."""

    cudaDeviceAttr = Attribute
    cudaMemcpyKind = Kind
    cudaStreamCaptureMode = Mode
    cudaHostAllocDefault = 0
    cudaStreamNonBlocking = 1
    cudaEventBlockingSync = 1
    cudaEventDisableTiming = 2

    def __init__(self, devices: int = 1) -> None:
        self.devices = devices
        self.fail: dict[str, Code] = {}
        self.calls: list[str] = []
        self.memory: dict[int, Any] = {}
        self.device_memory: set[int] = set()
        self.alive: set[str] = set()
        self.queues: dict[int, list[Work]] = {}
        self.priorities: dict[int, int] = {}
        self.capturing: dict[int, Mode] = {}
        self.recorded: dict[int, list[Work]] = {}
        self.due: dict[int, list[Work]] = {}
        self._handle = 1000

    def __getattribute__(self, name: str) -> Any:
        found = object.__getattribute__(self, name)
        if not name.startswith("cuda") or not callable(found) or isinstance(found, type):
            return found

        def called(*arguments: Any) -> Any:
            self.calls.append(name)
            if name in self.fail:
                return self.fail[name], *([None] if name.startswith(("cudaM", "cudaHost")) else [])
            return found(*arguments)

        called.__name__ = name
        return called

    def _new(self, kind: str) -> int:
        self._handle += 1
        self.alive.add(f"{kind}:{self._handle}")
        return self._handle

    def _gone(self, kind: str, handle: int) -> tuple[Code]:
        self.alive.remove(f"{kind}:{int(handle)}")  # KeyError: freed twice or never made
        return (Code.cudaSuccess,)

    def put(self, stream: int, work: Work) -> None:
        (self.recorded if stream in self.capturing else self.queues)[stream].append(work)

    def _run(self, stream: int) -> None:
        queue = self.queues[stream]
        while queue:
            queue.pop(0)()

    def _allocated(self, size: int) -> int:
        raw = (ctypes.c_uint8 * size)(*([0x5A] * size))
        address = ctypes.addressof(raw)
        self.memory[address] = raw
        self.alive.add(f"memory:{address}")
        return address

    def cudaGetDeviceCount(self) -> Any:
        return (Code.cudaSuccess, self.devices) if self.devices else (Code.cudaErrorNoDevice, None)

    def cudaDeviceGetAttribute(self, attribute: Attribute, device: int) -> Any:
        return Code.cudaSuccess, {75: 8, 76: 7}[attribute]

    def cudaGetDeviceProperties(self, device: int) -> Any:
        return Code.cudaSuccess, SimpleNamespace(name=b"Orin\0\0")

    def cudaDeviceGetStreamPriorityRange(self) -> Any:
        return Code.cudaSuccess, 0, -5

    def cudaHostAlloc(self, size: int, flags: int) -> Any:
        return Code.cudaSuccess, self._allocated(size)

    def cudaMalloc(self, size: int) -> Any:
        address = self._allocated(size)
        self.device_memory.add(address)
        return Code.cudaSuccess, address

    def cudaFreeHost(self, address: int) -> Any:
        return self._gone("memory", address)

    def cudaFree(self, address: int) -> Any:
        return self._gone("memory", address)

    def cudaStreamCreateWithPriority(self, flags: int, priority: int) -> Any:
        stream = self._new("stream")
        self.queues[stream], self.priorities[stream] = [], priority
        return Code.cudaSuccess, stream

    def cudaStreamDestroy(self, stream: int) -> Any:
        return self._gone("stream", stream)

    def cudaStreamSynchronize(self, stream: int) -> Any:
        assert stream not in self.capturing, "a capture forbids waiting"
        self._run(stream)
        return (Code.cudaSuccess,)

    def cudaEventCreateWithFlags(self, flags: int) -> Any:
        return Code.cudaSuccess, self._new("event")

    def cudaEventDestroy(self, event: int) -> Any:
        return self._gone("event", event)

    def cudaEventRecord(self, event: int, stream: int) -> Any:
        self.due[event] = list(self.queues[stream])
        self.queues[stream].clear()
        return (Code.cudaSuccess,)

    def cudaEventSynchronize(self, event: int) -> Any:
        for work in self.due.pop(event):
            work()
        return (Code.cudaSuccess,)

    def cudaMemsetAsync(self, address: int, value: int, size: int, stream: int) -> Any:
        assert address in self.device_memory
        self.put(stream, lambda: ctypes.memset(address, value, size))
        return (Code.cudaSuccess,)

    def cudaMemcpyAsync(self, to: int, source: int, size: int, kind: Kind, stream: int) -> Any:
        device, host = (to, source) if kind == Kind.cudaMemcpyHostToDevice else (source, to)
        assert device in self.device_memory and host not in self.device_memory
        self.put(stream, lambda: ctypes.memmove(to, source, size))
        return (Code.cudaSuccess,)

    def cudaStreamBeginCapture(self, stream: int, mode: Mode) -> Any:
        self.capturing[stream], self.recorded[stream] = mode, []
        return (Code.cudaSuccess,)

    def cudaStreamEndCapture(self, stream: int) -> Any:
        self.capture_mode = self.capturing.pop(stream)
        graph = self._new("graph")
        self.graphs = {graph: self.recorded.pop(stream)}
        return Code.cudaSuccess, graph

    def cudaGraphInstantiate(self, graph: int, flags: int) -> Any:
        executable = self._new("executable")
        self.graphs[executable] = self.graphs[graph]
        return Code.cudaSuccess, executable

    def cudaGraphDestroy(self, graph: int) -> Any:
        return self._gone("graph", graph)

    def cudaGraphExecDestroy(self, graph: int) -> Any:
        return self._gone("executable", graph)

    def cudaGraphLaunch(self, graph: int, stream: int) -> Any:
        self.queues[stream].extend(self.graphs[graph])
        return (Code.cudaSuccess,)
