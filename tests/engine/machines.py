"""A manifest and a machine, whole and valid, to change one field of."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import inspect

from neon_edge.engine.manifest import Machine, Manifest, Part, TensorSpec

MACHINE = Machine("onnxruntime", "1.23.2", "aarch64", "Jetson AGX Orin, asimddp")


def part(name: str, **changes: Any) -> Part:
    """One graph, x (2, 4) to y (2, 3), not yet compiled."""
    plain = Part(
        name=name,
        onnx=f"{name}.onnx",
        onnx_sha256="",
        inputs=[TensorSpec("x", [2, 4])],
        outputs=[TensorSpec("y", [2, 3])],
    )
    return msgspec.structs.replace(plain, **changes)


def manifest_of(**changes: Any) -> Manifest:
    """A manifest with something in every field that has no default."""
    whole: Manifest = _example(inspect.type_info(Manifest), "manifest")
    return msgspec.structs.replace(whole, **{"machine": MACHINE, **changes})


def _example(kind: inspect.Type, name: str) -> Any:  # noqa: PLR0911 - one a type
    """A value of this type. From the type, so that a new field needs no change here."""
    match kind:
        case inspect.StructType():
            wanted = (field for field in kind.fields if field.required)
            return kind.cls(**{f.encode_name: _example(f.type, f.name) for f in wanted})
        case inspect.ListType():
            return [_example(kind.item_type, name)]
        case inspect.DictType():
            return {name: _example(kind.value_type, name)}
        case inspect.LiteralType():
            return kind.values[0]
        case inspect.StrType():
            return f"a {name}"
        case inspect.IntType():
            return 2
        case inspect.FloatType():
            return 0.5
        case inspect.BoolType():
            return False
        case inspect.UnionType():
            return _example(kind.types[0], name)
    raise TypeError(f"no example of {kind}")
