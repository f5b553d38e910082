"""What all who rewrite a graph need: its version and its file. Loads no training library."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import ModelProto

from neon_edge.engine.files import weights_of

_IR_VERSION = 10
"""The first that knows 4-bit integers (onnx/onnx.proto, IR_VERSION_2024_3_25)."""
_INLINE_LIMIT_BYTES = 1 << 30


def raise_opset(model: ModelProto, version: int) -> None:
    """To `version` at least. What we export with means the same in every one that we ask for."""
    for entry in model.opset_import:
        if entry.domain == "":
            entry.version = max(entry.version, version)
    model.ir_version = max(model.ir_version, _IR_VERSION)


def save(model: ModelProto, path: Path) -> None:
    """One file, or a graph and its weights beside it where they are large."""
    large = model.ByteSize() > _INLINE_LIMIT_BYTES
    onnx.save(
        model,
        str(path),
        save_as_external_data=large,
        location=weights_of(path).name if large else None,
    )
