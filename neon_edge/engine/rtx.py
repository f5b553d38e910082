"""TensorRT-RTX compiles without a GPU: proof, on any x86-64 machine, that a graph is a TensorRT
graph. Its plans run on PC GPUs of the target's architecture, never on a Jetson.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neon_edge.engine.strongly_typed import Network
from neon_edge.errors import ConfigWrong, DeviceMissing

ORIN_LIKE = "SM86"
"""The nearest target TensorRT-RTX has to Orin's SM87: the same generation of tensor cores."""


def load_rtx() -> Any:
    """The `tensorrt_rtx_bindings` module. Raises `DeviceMissing` with what to install."""
    try:
        import tensorrt_rtx_bindings
    except ImportError as failure:
        raise DeviceMissing(
            "TensorRT-RTX is not installed",
            str(failure),
            "pip install 'neon-edge[rtx]' (x86-64 only)",
        ) from failure
    return tensorrt_rtx_bindings


def version() -> str:
    """Of the library; a plan runs on no other."""
    return str(load_rtx().__version__)


def compile_rtx(onnx: Path, plan: Path, compute_capability: str = ORIN_LIKE) -> None:
    """Compile `onnx` for a GPU that need not be here. `compute_capability` is like "SM86".

    Raises `ConfigWrong` naming every node that the parser refuses, or the target it does not know.
    """
    rtx = load_rtx()
    target = rtx.ComputeCapability.__members__.get(compute_capability)
    if target is None:
        raise ConfigWrong(
            f"TensorRT-RTX has no target {compute_capability!r}",
            f"it has {', '.join(rtx.ComputeCapability.__members__)}",
            "name one of them",
        )
    network = Network(rtx, onnx)
    config = network.builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(target, 0)
    # Tactics are chosen when the plan is loaded; a cache of timings would be of another machine.
    config.set_flag(rtx.BuilderFlag.DISABLE_TIMING_CACHE)
    plan.write_bytes(network.serialise(config))
