"""A torch module with fixed shapes → one ONNX file, the same bytes every time."""

from __future__ import annotations

import ast
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from neon_edge.backbones import PartPlan
from neon_edge.build.precision import halve
from neon_edge.build.recipe import Precision
from neon_edge.engine.files import weights_of
from neon_edge.errors import ConfigWrong

OPSET = 18
"""The exporter's own, so that nothing is converted; TensorRT 10.3 reads up to 20."""

_SCOPES = "pkg.torch.onnx.name_scopes"
_INLINE_LIMIT_BYTES = 1 << 28
"""A protobuf file ends at 2 GiB and is in memory three times while it is written; well before that,
weights move into a file of their own, one tensor at a time."""


def export_graph(
    module: torch.nn.Module, plan: PartPlan, path: Path, precision: Precision = "fp32"
) -> None:
    """Write `module` to `path`, and to `weights_of(path)` what is too large for one file.

    Raises `ConfigWrong` where `precision` cannot hold a weight.
    """
    arguments = tuple(
        torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype)) for spec in plan.inputs
    )
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module,
            arguments,
            input_names=[spec.name for spec in plan.inputs],
            output_names=[spec.name for spec in plan.outputs],
            opset_version=OPSET,
            dynamo=True,
            optimize=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("the exporter returned nothing")
    _strip(program.model)
    if precision != "fp32":
        halve(program.model, precision)
    _save(program.model, path)


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns of libraries that are absent and of its own deprecations."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _strip(model: Any) -> None:
    """Drop what the exporter notes down: stack traces with this machine's paths."""
    model.metadata_props.clear()
    model.doc_string = None
    for function in model.functions.values():
        function.metadata_props.clear()
    for graph in model.graphs():
        graph.metadata_props.clear()
        for node in graph:
            _name(node)
            node.metadata_props.clear()
            node.doc_string = None
            for value in node.outputs:
                value.metadata_props.clear()
        for value in [*graph.inputs, *graph.initializers.values()]:
            value.metadata_props.clear()


def _name(node: Any) -> None:
    """Call a Linear's product as its module is called: people read it in recipes and reports."""
    scopes = ast.literal_eval(node.metadata_props.get(_SCOPES, "[]"))
    modules = [scope for scope in scopes[:-1] if scope]
    if node.op_type in ("MatMul", "Gemm") and modules and "linear" in scopes[-1]:
        node.name = modules[-1]


def _save(model: Any, path: Path) -> None:
    import onnx_ir

    size = sum(value.const_value.nbytes for value in model.graph.initializers.values())
    beside = weights_of(path)
    beside.unlink(missing_ok=True)
    external = beside.name if size > _INLINE_LIMIT_BYTES else None
    try:
        onnx_ir.save(model, str(path), external_data=external)
    except onnx_ir.serde.SerdeError as failure:
        raise _said_by_us(failure) from None


def _said_by_us(failure: BaseException) -> BaseException:
    """The refusal of a weight or of the disk, out of the library's own wrapping."""
    cause: BaseException | None = failure
    while cause is not None and not isinstance(cause, (ConfigWrong, OSError)):
        cause = cause.__cause__
    return cause or failure
